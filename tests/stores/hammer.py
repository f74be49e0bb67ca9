"""Run as a process: three workers hammer one arena, are killed at whatever they are doing, and replaced; meanwhile and
afterwards nothing wrong may come out of it. A process of its own, because only one without threads may fork.
"""

import asyncio
import contextlib
import os
import random
import signal
from collections.abc import Callable, Iterator

from proxy.stores.base import Entry
from proxy.stores.shared import SharedArena, SharedStore
from tests.stores.test_memory import entry, finished, key

_NUMBERS = 60
_ROUNDS = 12


def variants(number: int) -> list[Entry]:
    """What the workers put under a key."""
    return [entry(number * 150 + version, fields=number % 5) for version in range(3)]


@contextlib.contextmanager
def forked(function: Callable[[], None]) -> Iterator[None]:
    """A child that runs until the block is left, and is killed then."""
    pid = os.fork()
    if pid == 0:
        try:
            function()
        finally:
            os._exit(1)
    try:
        yield
        assert os.waitpid(pid, os.WNOHANG) == (0, 0), "the child has failed"
    finally:
        os.kill(pid, signal.SIGKILL)
        with contextlib.suppress(ChildProcessError):
            os.waitpid(pid, 0)


async def hammer(arena: SharedArena, possible: list[list[Entry]]) -> None:
    """A worker."""
    store, rng = SharedStore(arena, near_bytes=5_000), random.Random()
    while True:
        number = rng.randrange(_NUMBERS)
        match rng.randrange(20):
            case 0:
                await store.delete(key(number))
            case 1 if rng.random() < 0.05:
                await store.clear()
            case choice if choice < 12:
                await store.put(key(number), rng.choice(possible[number]))
            case _:
                got = await store.get(key(number))
                assert got is None or got in possible[number]


async def check(store: SharedStore) -> None:
    """It works as a new one does."""
    await store.clear()
    for number in range(_NUMBERS):
        await store.put(key(number), entry(100))
    assert [await store.get(key(number)) for number in range(_NUMBERS)] == [entry(100)] * _NUMBERS
    assert store.stats().entries == _NUMBERS


def main() -> None:
    """Raises when something is wrong."""
    arena = SharedArena(1 << 19)
    possible = [variants(number) for number in range(_NUMBERS)]
    store, rng, hits = SharedStore(arena, near_bytes=10_000), random.Random(11), 0

    def work() -> None:
        asyncio.run(hammer(arena, possible))

    for _ in range(_ROUNDS):
        with forked(work), forked(work), forked(work):
            for _ in range(rng.randrange(500, 3000)):
                number = rng.randrange(_NUMBERS)
                got = finished(store.get(key(number)))
                assert got is None or got in possible[number]
                hits += got is not None
    asyncio.run(check(store))
    print(f"{hits} hits, {store.stats().evicted} evicted")


if __name__ == "__main__":
    main()
