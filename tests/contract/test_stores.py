"""What every tier promises, whichever it is. A new store is added to `STORES` and has to pass all of this."""

import contextlib
import random
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path

import pytest

from proxy.exchange.usage import Usage
from proxy.fleet.link import LinkSettings, RedisLink
from proxy.fleet.store import RedisStore
from proxy.stores.base import UNKNOWN, Entry, Store, pack
from proxy.stores.memory import MemoryStore
from proxy.stores.shared import SharedArena, SharedStore
from tests.stores.disks import settled_disk
from tests.support.redis_servers import needs_redis, redis_server
from tests.support.waiting import until

type OpenStore = Callable[[Path], contextlib.AbstractAsyncContextManager[Store]]


def at_hand(make: Callable[[], Store]) -> OpenStore:
    """A store in memory, which needs no closing."""

    @contextlib.asynccontextmanager
    async def opened(_directory: Path) -> AsyncIterator[Store]:
        yield make()

    return opened


@contextlib.asynccontextmanager
async def shared_by_replicas(directory: Path) -> AsyncIterator[Store]:
    """The tier in Redis."""
    with redis_server(directory / "redis") as server:
        settings = LinkSettings(f"unix://{server.path}", read_timeout_s=5.0, write_timeout_s=5.0)
        link = RedisLink(settings).start()
        await until(lambda: link.stats().connections == 2, "the link is up")
        yield RedisStore(link)
        await link.close()


STORES: dict[str, OpenStore] = {
    "memory": at_hand(lambda: MemoryStore(1 << 20)),
    "shared": at_hand(lambda: SharedStore(SharedArena(1 << 20))),
    "shared, opened answers kept": at_hand(lambda: SharedStore(SharedArena(1 << 20), near_bytes=1 << 18)),
    "disk": settled_disk,
    "disk, encrypted": lambda directory: settled_disk(directory, encrypted=True),
}


@pytest.fixture(params=[*sorted(STORES), pytest.param("redis", marks=needs_redis())])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Store]:
    open_store = {**STORES, "redis": shared_by_replicas}[request.param]
    async with open_store(tmp_path) as opened:
        yield opened


def holds(store: Store, entries: int) -> bool:
    """What it says of how many it has is right, if it says that at all."""
    stats = store.stats()
    if stats.entries == UNKNOWN:
        return True
    return stats.entries == entries and (stats.used_bytes == 0) is (entries == 0)


def entry(body: bytes = b"body", **more: object) -> Entry:
    made = Entry(
        status=200,
        headers=[(b"content-type", b"application/json"), (b"x-a", b"1"), (b"x-a", b"2")],
        body=body,
        packed=False,
        stored_at=1_000_000.5,
        ttl_s=60.0,
        provider="openai",
        operation="chat",
        model="gpt-4o-mini",
        usage=Usage(input_tokens=3, output_tokens=4, model="gpt-4o-mini-2024-07-18", response_id="r1"),
        cost_nanousd=12_345,
    )
    return replace(made, **more)  # type: ignore[arg-type]


def key(number: int = 0) -> bytes:
    return number.to_bytes(32, "big")


async def test_what_was_put_comes_back_as_it_was(store: Store) -> None:
    packed, was_packed = pack(bytes(range(256)) * 100, None)
    for number, kept in enumerate(
        (
            entry(),
            entry(bytes(range(256))),
            entry(b""),
            entry(packed, packed=was_packed),
            entry(usage=None, cost_nanousd=None),
        )
    ):
        await store.put(key(number), kept)
        got = await store.get(key(number))
        assert got == kept
        assert got is not None
        assert got.original() == kept.original()


async def test_a_key_that_is_not_there_gives_nothing(store: Store) -> None:
    await store.put(key(1), entry())
    assert await store.get(key(2)) is None
    assert not await store.delete(key(2))


async def test_the_later_entry_replaces_the_earlier(store: Store) -> None:
    await store.put(key(), entry(b"old" * 1000))
    await store.put(key(), entry(b"new"))
    got = await store.get(key())
    assert got is not None
    assert got.body == b"new"
    assert holds(store, 1)


async def test_a_deleted_entry_is_gone(store: Store) -> None:
    await store.put(key(), entry())
    assert await store.delete(key())
    assert await store.get(key()) is None
    assert not await store.delete(key())
    assert holds(store, 0)


async def test_clearing_says_how_many_there_were(store: Store) -> None:
    for number in range(5):
        await store.put(key(number), entry())
    assert await store.clear() == 5
    assert await store.clear() == 0
    assert await store.get(key(1)) is None
    assert holds(store, 0)


async def test_an_old_entry_is_given_all_the_same(store: Store) -> None:
    await store.put(key(), entry(ttl_s=0.001, stored_at=0.0))
    assert await store.get(key()) is not None  # its age is the caller's to judge


async def test_it_says_what_it_holds_and_may_hold(store: Store) -> None:
    assert holds(store, 0)
    await store.put(key(), entry(random.Random(1).randbytes(5000)))
    stats = store.stats()
    assert stats.tier
    assert holds(store, 1)
    assert stats.used_bytes == UNKNOWN or 5000 < stats.used_bytes <= stats.limit_bytes


async def test_what_a_caller_does_with_an_entry_does_not_change_the_store(store: Store) -> None:
    await store.put(key(), entry())
    got = await store.get(key())
    assert got is not None
    copied = list(got.headers)
    copied.clear()
    assert await store.get(key()) == entry()


@pytest.mark.parametrize("coding", [None, b"gzip"])
@pytest.mark.parametrize("size", [0, 1, 511, 512, 4096])
def test_packing_is_undone_exactly(coding: bytes | None, size: int) -> None:
    body = b"ab" * (size // 2) + b"c" * (size % 2)
    packed, was_packed = pack(body, coding)
    assert entry(packed, packed=was_packed).original() == body
    assert was_packed is (coding is None and size >= 512)
    assert len(packed) <= len(body)


def test_what_does_not_shrink_is_left_as_it_is() -> None:
    body = random.Random(1).randbytes(2000)
    assert pack(body, None) == (body, False)


def test_an_age_is_never_negative() -> None:
    assert entry().age(1_000_010.5) == 10
    assert entry().age(5.0) == 0
