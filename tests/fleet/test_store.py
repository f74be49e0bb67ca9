"""The shared tier on a real server, beyond what every store promises."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import replace

import pytest
from structlog.testing import capture_logs

from proxy.fleet.link import LinkSettings, RedisLink
from proxy.fleet.store import RedisStore
from proxy.stores import envelope
from proxy.stores.base import Entry, StoreUnavailableError
from tests.support.redis_servers import RedisServer, needs_redis, redis_server
from tests.support.waiting import until

pytestmark = needs_redis()

KEY = bytes(range(32))
MADE = Entry(200, [(b"a", b"b")], b"secret answer", False, 1000.0, 60.0, "openai", "chat", "gpt-4o-mini")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with redis_server(tmp_path_factory.mktemp("redis")) as server:
        yield server


type Make = Callable[..., RedisStore]


@pytest.fixture
async def make(server: RedisServer) -> AsyncIterator[Make]:
    server.says("FLUSHALL")
    link = RedisLink(LinkSettings(f"unix://{server.path}", read_timeout_s=5.0, write_timeout_s=5.0)).start()
    await until(lambda: link.stats().connections == 2, "the link is up")
    yield lambda **more: RedisStore(link, **more)
    await link.close()


async def test_a_key_is_the_prefix_and_the_fingerprint(make: Make, server: RedisServer) -> None:
    await make(prefix="mine").put(KEY, MADE)
    assert server.says("KEYS", "*") == [b"mine:e:" + KEY]


async def test_it_is_kept_for_its_time_to_live_and_some_more(make: Make, server: RedisServer) -> None:
    await make(grace_s=100.0).put(KEY, MADE)
    left = server.says("PTTL", b"skinflint:e:" + KEY)
    assert isinstance(left, int)
    assert 150_000 < left <= 160_000


@pytest.mark.parametrize("body", [b"x" * 1100, bytes(990)])
async def test_what_is_too_large_is_not_kept_and_neither_is_what_it_replaces(make: Make, body: bytes) -> None:
    store = make(max_entry_bytes=1000)
    await store.put(KEY, MADE)
    assert await store.get(KEY) is not None
    await store.put(KEY, replace(MADE, body=body))
    assert await store.get(KEY) is None


async def test_what_cannot_be_sealed_is_not_kept(make: Make) -> None:
    store = make()
    await store.put(KEY, replace(MADE, headers=[(b"a", b"with \0")]))
    assert await store.get(KEY) is None


async def test_a_large_entry_is_kept_as_any_other(make: Make) -> None:
    store = make()
    large = replace(MADE, body=bytes(range(256)) * 8000)
    await store.put(KEY, large)
    assert await store.get(KEY) == large


async def test_what_is_broken_or_anothers_is_a_miss(make: Make, server: RedisServer) -> None:
    store = make()
    for bytes_ in (b"", b"rubbish", envelope.seal(MADE, b"another key"), envelope.seal(MADE, KEY)[:-1]):
        server.says("SET", b"skinflint:e:" + KEY, bytes_)
        assert await store.get(KEY) is None
    assert (store.stats().hits, store.stats().misses) == (0, 4)


async def test_clearing_leaves_what_is_not_the_caches(make: Make, server: RedisServer) -> None:
    store = make(prefix="a*")
    for number in range(1200):
        await store.put(number.to_bytes(32, "big"), MADE)
    server.says("SET", b"ab:e:" + KEY, b"another's")
    assert await store.clear() == 1200
    assert server.says("KEYS", "*") == [b"ab:e:" + KEY]


async def test_clearing_gives_up_after_its_time(make: Make) -> None:
    ticks = iter(range(0, 10_000, 20))
    store = make(clock=lambda: float(next(ticks)))
    await asyncio.gather(*(store.put(number.to_bytes(32, "big"), MADE) for number in range(2000)))
    with pytest.raises(StoreUnavailableError, match="too_many_keys"):
        await store.clear()


async def test_what_goes_wrong_is_one_error_and_says_nothing_of_the_answer(make: Make, server: RedisServer) -> None:
    store = make()
    await store.put(KEY, MADE)
    server.says("CONFIG", "SET", "maxmemory", "1")
    try:
        with capture_logs() as logs, pytest.raises(StoreUnavailableError) as failed:
            await store.put(KEY, MADE)
    finally:
        server.says("CONFIG", "SET", "maxmemory", "0")
    assert str(failed.value) == "OOM"
    assert "secret" not in repr(logs)
    assert store.stats().failures == 1


async def test_a_wrong_kind_of_key_is_logged_once(make: Make, server: RedisServer) -> None:
    store = make()
    server.says("LPUSH", b"skinflint:e:" + KEY, "x")
    with capture_logs() as logs:
        for _ in range(3):
            with pytest.raises(StoreUnavailableError, match="WRONGTYPE"):
                await store.get(KEY)
    assert [each["event"] for each in logs] == ["redis_refuses"]


async def test_a_link_that_is_down_is_no_store(make: Make) -> None:
    link = RedisLink(LinkSettings("redis://127.0.0.1:1"))
    store = RedisStore(link)
    for call in (store.get(KEY), store.put(KEY, MADE), store.delete(KEY), store.clear()):
        with pytest.raises(StoreUnavailableError):
            await call
    assert store.stats().failures == 4
    assert not store.stats().is_up
