"""Replicas that share Redis: one cache, one key, and invalidations that all of them obey."""

import asyncio
import itertools
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.conftest import MakeProxy
from tests.e2e.calls import CHAT, ask, chat, said
from tests.support.background import Providers
from tests.support.redis_servers import RedisServer, needs_redis, redis_server
from tests.support.waiting import until

pytestmark = needs_redis()


def kept(server: RedisServer, pattern: str) -> int:
    """How many of its keys are named so."""
    found = server.says("KEYS", pattern)
    assert isinstance(found, list)
    return len(found)


@pytest.fixture
def shared(redis: RedisServer) -> Mapping[str, object]:
    return {"cache": {"redis": {"url": redis.url}, "disk": {"max_bytes": 0}}}


async def written(redis: RedisServer, count: int) -> None:
    await until(lambda: kept(redis, "skinflint:e:*") >= count, "the answers are in Redis")


async def test_what_one_replica_has_paid_for_another_answers(
    make_proxy: MakeProxy, provider: Providers, shared: Mapping[str, object], redis: RedisServer, prompt: str
) -> None:
    one, other = make_proxy(provider, shared), make_proxy(provider, shared)
    first = await ask(one, chat(prompt))
    await written(redis, 1)
    second = await ask(other, chat(prompt))
    assert (said(first), said(second)) == ("miss", "hit")
    assert second.body == first.body
    assert provider.count(path=CHAT) == 1


async def test_an_invalidation_reaches_every_replicas_memory(
    make_proxy: MakeProxy, provider: Providers, shared: Mapping[str, object], redis: RedisServer, prompt: str
) -> None:
    replicas = [make_proxy(provider, shared) for _ in range(3)]
    tagged = ("x-skinflint-tag", "nightly")
    await ask(replicas[0], chat(prompt), tagged)
    await written(redis, 1)
    assert [said(await ask(replica, chat(prompt), tagged)) for replica in replicas] == ["hit"] * 3
    assert replicas[0].admin("/v1/cache/invalidate", "POST", b'{"tag": "nightly"}')[0] == 200

    async with asyncio.timeout(1):
        for replica in replicas:
            while (await ask(replica, chat(prompt), ("cache-control", "only-if-cached"), tagged)).status != 504:
                pass
    assert provider.count(path=CHAT) == 1


async def test_a_replica_that_comes_later_obeys_earlier_invalidations(
    make_proxy: MakeProxy, provider: Providers, shared: Mapping[str, object], redis: RedisServer, prompt: str
) -> None:
    one = make_proxy(provider, shared)
    await ask(one, chat(prompt))
    await written(redis, 1)
    assert one.admin("/v1/cache/invalidate", "POST", b'{"all": ""}')[0] == 200
    assert said(await ask(make_proxy(provider, shared), chat(prompt))) == "miss"


async def test_without_redis_every_replica_answers_for_itself_and_joins_when_it_comes(
    make_proxy: MakeProxy, provider: Providers, tmp_path: Path, prompt: str
) -> None:
    with redis_server(tmp_path / "redis") as server:
        url = server.url
        server.kill()
        settings = {"cache": {"redis": {"url": url}, "disk": {"max_bytes": 0}}}
        one, other = make_proxy(provider, settings), make_proxy(provider, settings)
        assert [said(await ask(each, chat(prompt))) for each in (one, other)] == ["miss", "miss"]
        assert [said(await ask(each, chat(prompt))) for each in (one, other)] == ["hit", "hit"]
        server.start()
        await until(lambda: kept(server, "skinflint:key") == 1, "the fleet has a key")
        async with asyncio.timeout(20):
            for number in itertools.count():
                await ask(one, chat(f"{prompt} again {number}"))
                if said(await ask(other, chat(f"{prompt} again {number}"))) == "hit":
                    break
