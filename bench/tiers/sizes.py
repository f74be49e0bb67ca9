"""What one answer takes in each tier, in each form: found by keeping many.

Run as `python -m bench.tiers.sizes OUT REDIS_PORT` (0: no Redis). Rules: memory is what the tier counts against its
bound, Redis is what `used_memory` grows by without the buffers of connections, disk is what the closed file grows by,
but for the dictionary, which stands there once. It is trained from other answers than those that are kept.
"""

import argparse
import asyncio
import base64
import secrets
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import redis
import uvloop
from pydantic import TypeAdapter

from bench.processes import PROXY_CORE, pin
from bench.tiers.children import leave
from bench.tiers.samples import KINDS, entry
from proxy.fleet.link import LinkSettings, RedisLink
from proxy.fleet.store import RedisStore
from proxy.stores import envelope
from proxy.stores.base import Entry
from proxy.stores.disk.store import DiskStore
from proxy.stores.memory import MemoryStore
from proxy.stores.sealing.dictionary import NO_DICTIONARY, Dictionaries
from proxy.stores.sealing.keyfile import KeyFile
from proxy.stores.sealing.sealer import Sealer

PLAIN: Final = "plain"
ZSTD: Final = "zstd"
DICTIONARY: Final = "zstd with dictionary"
ENCRYPTED: Final = "encrypted as well"
FORMS: Final = (PLAIN, ZSTD, DICTIONARY, ENCRYPTED)

_PATIENCE_S: Final = 30.0
_TAUGHT: Final = 1_000_000  # the number of the first answer that the dictionary learns from
_LESSONS: Final = 250  # of each kind
_ROOM: Final = 1 << 30


@dataclass(frozen=True, slots=True)
class Taken:
    """Bytes that an answer of a kind takes in a tier in a form."""

    tier: str
    kind: str
    form: str
    each_bytes: float


@dataclass(frozen=True, slots=True)
class Sizes:
    """`bodies`: what an answer has by itself, by kind."""

    taken: tuple[Taken, ...]
    bodies: dict[str, float]


FORMAT: Final = TypeAdapter(Sizes)


class Unpacked(Sealer):
    """The envelope, and nothing more."""

    def seal(self, entry: Entry, key: bytes) -> bytes:
        return envelope.seal(entry, key)


class Keeping:
    """Keeps the same answers in one store after another."""

    def __init__(self, directory: Path, port: int) -> None:
        self._directory = directory
        self._port = port
        self._dictionary = b""
        self._keys = directory / "keys"
        self._keys.write_text(f"bench {base64.b64encode(secrets.token_bytes(32)).decode()}\n")
        self._keys.chmod(0o600)

    async def sizes(self) -> Sizes:
        """Of all kinds, in all tiers and forms."""
        self._dictionary = await trained()
        empty = await self._on_disk((), Sealer())
        taken: list[Taken] = []
        bodies: dict[str, float] = {}
        for kind, how in KINDS.items():
            plain, packed = [
                [entry(kind, number, packed=each) for number in range(how.count)] for each in (False, True)
            ]
            bodies[kind] = sum(len(each.body) for each in plain) / how.count

            def add(tier: str, form: str, total: float, kind: str = kind, count: int = how.count) -> None:
                taken.append(Taken(tier, kind, form, total / count))

            for form, entries in ((PLAIN, plain), (ZSTD, packed)):
                add("memory", form, await _in_memory(entries))
            for form in FORMS:
                sealer = self._sealer(form)
                entries = plain if form == PLAIN else packed
                shared = len(self._dictionary) if form in (DICTIONARY, ENCRYPTED) else 0
                add("disk", form, await self._on_disk(entries, sealer) - empty - shared)
                if form != DICTIONARY and self._port:
                    add("Redis", form, await self._in_redis(entries, self._sealer(form, learns=False)))
        return Sizes(tuple(taken), bodies)

    def _sealer(self, form: str, *, learns: bool = True) -> Sealer:
        if form == PLAIN:
            return Unpacked(None, Dictionaries(trains=False))
        dictionaries = Dictionaries(trains=False)
        if learns and form != ZSTD:
            dictionaries.learn(self._dictionary)
        return Sealer(KeyFile(self._keys) if form == ENCRYPTED else None, dictionaries)

    async def _on_disk(self, entries: Sequence[Entry], sealer: Sealer) -> int:
        with tempfile.TemporaryDirectory(dir=self._directory) as directory:
            path = Path(directory) / "cache.sqlite"
            store = DiskStore(path, _ROOM, sealer)
            store.start()
            try:
                if not await store.ready(_PATIENCE_S):
                    raise TimeoutError("the disk tier did not open")
                for number, each in enumerate(entries):
                    await store.put(_key(number), each)
                if not await store.flush(_PATIENCE_S):
                    raise TimeoutError("the disk tier did not write")
            finally:
                await store.close(_PATIENCE_S)
            return path.stat().st_size

    async def _in_redis(self, entries: Sequence[Entry], sealer: Sealer) -> int:
        settings = LinkSettings(f"redis://127.0.0.1:{self._port}/0", write_timeout_s=_PATIENCE_S)
        link = RedisLink(settings).start()
        with redis.Redis(host="127.0.0.1", port=self._port, protocol=2) as client:
            try:
                store = RedisStore(link, sealing=sealer)
                await until(lambda: link.is_up)
                client.flushall()
                before = _used_bytes(client)
                for number, each in enumerate(entries):
                    await store.put(_key(number), each)
                return _used_bytes(client) - before
            finally:
                await link.close()
                client.flushall()


def _used_bytes(client: redis.Redis) -> int:
    """Without what the connections' buffers take."""
    memory = client.info("memory")
    return int(memory["used_memory"]) - int(memory["mem_clients_normal"])


async def _in_memory(entries: Sequence[Entry]) -> int:
    store = MemoryStore(_ROOM)
    for number, each in enumerate(entries):
        await store.put(_key(number), each)
    return store.stats().used_bytes


async def trained() -> bytes:
    """A dictionary, as the disk tier makes one from what passes, of all kinds."""
    dictionaries = Dictionaries()
    sealer = Sealer(None, dictionaries)
    for number in range(_TAUGHT, _TAUGHT + _LESSONS):
        for kind in KINDS:
            sealer.seal(entry(kind, number), _key(number))
        if number % 10 == 0:
            await asyncio.sleep(0)
    await until(lambda: dictionaries.current.number != NO_DICTIONARY)
    content = dictionaries.current.content
    assert content is not None
    return content


async def until(is_so: Callable[[], bool]) -> None:
    """Raises TimeoutError when it does not become so."""
    give_up_at = time.monotonic() + _PATIENCE_S
    while not is_so():
        if time.monotonic() > give_up_at:
            raise TimeoutError("it did not come in time")
        await asyncio.sleep(0.01)


def _key(number: int) -> bytes:
    return number.to_bytes(32)


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser()
    parser.add_argument("out", type=Path)
    parser.add_argument("port", type=int)
    arguments = parser.parse_args()
    pin(PROXY_CORE)
    with tempfile.TemporaryDirectory(dir=arguments.out.parent) as directory:
        keeping = Keeping(Path(directory), arguments.port)
        sizes = uvloop.run(keeping.sizes())
    leave(arguments.out, FORMAT.dump_json(sizes))


if __name__ == "__main__":
    main()
