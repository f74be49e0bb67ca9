"""Run as a process: keeps answers on disk as fast as it can, until it is killed. Arguments: the file, a number."""

import asyncio
import random
import sys
from pathlib import Path

from proxy.stores.base import StoreUnavailableError
from proxy.stores.disk.store import DiskStore
from proxy.stores.sealing.sealer import Sealer
from tests.stores.answers import answer, key

NUMBERS = 400
VERSIONS = 3


async def hammer(path: Path, seed: int) -> None:
    store, rng = DiskStore(path, 1 << 18, Sealer(), grace_s=1e9, read_timeout_s=20.0), random.Random(seed)
    store.start()
    assert await store.ready(20.0)
    print("begun", flush=True)
    while True:
        number = rng.randrange(NUMBERS)
        try:
            match rng.randrange(10):
                case 0:
                    await store.delete(key(number))
                case 1 if rng.random() < 0.02:
                    await store.clear()
                case _:
                    await store.put(key(number), answer(number + NUMBERS * rng.randrange(VERSIONS)))
        except StoreUnavailableError:
            await store.flush(20.0)


if __name__ == "__main__":
    asyncio.run(hammer(Path(sys.argv[1]), int(sys.argv[2])))
