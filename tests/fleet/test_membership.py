"""What a replica does about its fleet whenever Redis may not be what it was."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from config.caching import Cache, Redis
from proxy.fleet.membership import Membership
from proxy.stores.rules import Rules
from proxy.tasks import TaskSet
from tests.support.redis_servers import RedisServer, needs_redis
from tests.support.waiting import until

pytestmark = needs_redis()

OWN, FLEETS = bytes(range(32)), bytes(range(32, 64))


@pytest.fixture
def taken() -> list[bytes]:
    """Keys that the fleet had instead of this replica's own."""
    return []


@pytest.fixture
async def membership(server: RedisServer, tmp_path: Path, taken: list[bytes]) -> AsyncIterator[Membership]:
    tasks = TaskSet()
    member = Membership(
        Cache(redis=Redis(url=server.url)),
        Rules().add,
        tasks,
        key=OWN,
        key_path=tmp_path / "fleet.key",
        on_key=taken.append,
    )
    yield member
    await member.stop()
    await tasks.cancel()


async def test_a_server_that_came_back_empty_between_two_looks_is_told_the_key(
    membership: Membership, server: RedisServer
) -> None:
    await membership.start()
    assert server.says("GET", "skinflint:key") == OWN
    falls = membership.link.falls
    server.kill()
    server.start()
    await until(lambda: membership.link.falls > falls and membership.link.is_up, "the link is back")
    await membership.tend()
    assert server.says("GET", "skinflint:key") == OWN


async def test_a_full_server_still_tells_the_fleets_key(
    membership: Membership, server: RedisServer, taken: list[bytes]
) -> None:
    server.says("SET", "skinflint:key", FLEETS)
    server.says("CONFIG", "SET", "maxmemory", "1")
    await membership.start()
    async with asyncio.timeout(20):
        while not taken:
            await membership.tend()
            await asyncio.sleep(0.01)
    assert taken == [FLEETS]
