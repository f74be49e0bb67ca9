"""Stores that hold so many entries, filled quickly, each with the keys that are looked up in it.

Rules: entries are small and alike. Memory and the arena are filled by `put`. Redis and the disk's file are filled as
they are, in bulk: what is looked up is sealed under its key there, the rest are as many bytes of another key's.
"""

import asyncio
import contextlib
import dataclasses
import hashlib
import io
import random
import socket
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path
from typing import Final

from proxy.fleet.connection import packed
from proxy.fleet.link import LinkSettings, RedisLink
from proxy.fleet.store import RedisStore
from proxy.stores.base import Entry, Store
from proxy.stores.disk.file import DiskFile
from proxy.stores.disk.store import DiskStore
from proxy.stores.memory import MemoryStore
from proxy.stores.sealing.dictionary import Dictionaries
from proxy.stores.sealing.sealer import Sealer
from proxy.stores.shared import SharedArena, SharedStore

SAMPLE: Final = 20_000  # keys that are looked up, at most

_KEY_BYTES: Final = 32
_PATIENCE_S: Final = 30.0
_KEPT_S: Final = 86_400
_ARENA_BYTES: Final = 1_536  # for an entry: twice as many slots as entries
_BATCH: Final = 10_000
_PREFIX: Final = b"skinflint:e:"
_ROOM: Final = 1 << 33


def key_of(number: int) -> bytes:
    """A fingerprint."""
    return hashlib.blake2b(number.to_bytes(8), digest_size=_KEY_BYTES).digest()


def sampled(size: int) -> list[bytes]:
    """Keys of entries that are there, in no order: SAMPLE of them, or all."""
    return [key_of(number) for number in random.Random(size).sample(range(size), min(size, SAMPLE))]


def absent(size: int) -> list[bytes]:
    """As many keys as `sampled` gives that are not there."""
    return [key_of(1 << 40 | number) for number in range(min(size, SAMPLE))]


def small() -> Entry:
    """An answer with next to nothing in it."""
    return Entry(
        status=200,
        headers=[(b"content-type", b"application/json")],
        body=b"{}",
        packed=False,
        stored_at=time.time(),
        ttl_s=float(_KEPT_S),
        provider="openai",
        operation="chat",
        model="gpt-4o-mini",
    )


@contextlib.asynccontextmanager
async def memory(size: int) -> AsyncIterator[Store]:
    """The tier in this process."""
    store, template = MemoryStore(_ROOM), small()
    for number in range(size):
        await store.put(key_of(number), dataclasses.replace(template))
    yield store


@contextlib.asynccontextmanager
async def arena(size: int) -> AsyncIterator[Store]:
    """The one that workers share; each look-up opens the entry, as that of another worker would be."""
    store, template = SharedStore(SharedArena(max(1 << 20, size * _ARENA_BYTES))), small()
    for number in range(size):
        await store.put(key_of(number), template)
    yield store


@contextlib.asynccontextmanager
async def disk(size: int, directory: Path) -> AsyncIterator[Store]:
    """The file of an earlier run; its keys are known when this begins."""
    path = directory / f"{size}.sqlite"
    _write(path, size)
    store = DiskStore(path, _ROOM, Sealer(None, Dictionaries(trains=False)), read_timeout_s=_PATIENCE_S)
    store.start()
    try:
        if not await store.ready(_PATIENCE_S):
            raise TimeoutError("the disk tier did not open")
        give_up_at = time.monotonic() + _PATIENCE_S
        while not (await at_once(store, absent(100))):
            if time.monotonic() > give_up_at:
                raise TimeoutError("the disk tier did not read its keys")
            await asyncio.sleep(0.02)
        yield store
    finally:
        await store.close(_PATIENCE_S)


@contextlib.asynccontextmanager
async def redis(size: int, port: int, database: int) -> AsyncIterator[Store]:
    """A database of its own in the server at `port`, over loopback."""
    _send(size, port, database)
    settings = LinkSettings(f"redis://127.0.0.1:{port}/{database}", read_timeout_s=_PATIENCE_S)
    link = RedisLink(settings).start()
    try:
        give_up_at = time.monotonic() + _PATIENCE_S
        while not link.is_up:
            if time.monotonic() > give_up_at:
                raise TimeoutError("Redis was not reached")
            await asyncio.sleep(0.01)
        yield RedisStore(link, sealing=Sealer(None, Dictionaries(trains=False)))
    finally:
        await link.close()


async def at_once(store: Store, keys: Sequence[bytes]) -> list[bytes]:
    """Those of the keys that it answers without waiting for anything."""
    loop, found = asyncio.get_running_loop(), []
    for key in keys:
        turns: list[bytes] = []
        handle = loop.call_soon(turns.append, key)
        await store.get(key)
        handle.cancel()
        if not turns:
            found.append(key)
    return found


def _contents(size: int) -> Iterator[tuple[bytes, bytes]]:
    """Keys in their order, so that they are written fast, and what stands under them."""
    sealer, template = Sealer(None, Dictionaries(trains=False)), small()
    looked_up, other = set(sampled(size)), sealer.seal(template, bytes(_KEY_BYTES))
    for key in sorted([key_of(number) for number in range(size)]):
        yield key, sealer.seal(template, key) if key in looked_up else other


def _write(path: Path, size: int) -> None:
    file = DiskFile.open(path)
    file.connection.execute("PRAGMA cache_size=-131072")
    file.connection.execute("PRAGMA synchronous=OFF")
    now = int(time.time())
    total = 0
    with file.transaction() as connection:
        rows = [(key, len(content), now, now + _KEPT_S, content) for key, content in _contents(size)]
        total = sum(len(row[4]) for row in rows)
        connection.executemany(
            "INSERT INTO entries (key, size, used_at, keep_until, content) VALUES (?, ?, ?, ?, ?)", rows
        )
        connection.execute("UPDATE totals SET entries = ?, bytes = ?", (size, total))
    file.connection.close()


def _send(size: int, port: int, database: int) -> None:
    with socket.create_connection(("127.0.0.1", port), _PATIENCE_S) as server, server.makefile("rb") as replies:
        server.sendall(packed(b"SELECT", database))
        waiting: list[bytes] = []
        asked = 1
        for key, content in _contents(size):
            waiting.append(packed(b"SET", _PREFIX + key, content))
            if len(waiting) == _BATCH:
                server.sendall(b"".join(waiting))
                asked += len(waiting)
                waiting.clear()
                asked -= _read(replies, asked)
        server.sendall(b"".join(waiting))
        _read(replies, asked + len(waiting))


def _read(replies: io.BufferedReader, count: int) -> int:
    for _ in range(count):
        if (line := replies.readline()) != b"+OK\r\n":
            raise ConnectionError(f"Redis said {line!r}")
    return count
