"""Servers that change places: a failover by sentinels, and a cluster whose slots move, under load."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest
import redis

from proxy.fleet.cluster import SLOTS, slot_of
from proxy.fleet.link import RedisLink, RedisUnavailableError, Script
from tests.fleet.conftest import MakeLink
from tests.support.redis_servers import Cluster, needs_redis, redis_cluster, watched_servers
from tests.support.waiting import until

pytestmark = needs_redis()

KEYS = 300


@pytest.fixture(scope="module")
def shared_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with redis_cluster(tmp_path_factory.mktemp("cluster")) as cluster:
        yield cluster


class Load:
    """Gets and sets without a pause, and remembers what was wrong."""

    def __init__(self, link: RedisLink, prefix: bytes = b"load") -> None:
        self._link = link
        self._prefix = prefix
        self._is_over = False
        self.right = self.failed = self.empty = 0
        self.wrong: list[object] = []
        self._task = asyncio.ensure_future(self._run())

    async def _run(self) -> None:
        while not self._is_over:
            await asyncio.gather(*(self._call(number) for number in range(0, KEYS, 3)))
            await asyncio.sleep(0.002)

    async def _call(self, number: int) -> None:
        key = self._prefix + b"%d" % number
        try:
            got = await self._link.get(key)
            if got is None:
                self.empty += 1
                await self._link.set(key, b"v" + key, 600_000)
            elif got == b"v" + key:
                self.right += 1
            else:
                self.wrong.append((key, got))
        except RedisUnavailableError:
            self.failed += 1

    async def end(self) -> None:
        self._is_over = True
        await self._task
        assert self.wrong == []


async def all_up(link: RedisLink, servers: int = 3) -> None:
    await until(lambda: link.stats().servers_up == servers and link.stats().connections == 2 * servers, "all are up")


@pytest.mark.parametrize("key", [b"a", b"{user}.a", b"a{}b", b"a{b", b"{}{a}", b"a{x}{y}", bytes(range(256)), b""])
def test_slots_are_those_of_redis(key: bytes) -> None:
    assert slot_of(key) == redis.crc.key_slot(key)
    assert 0 <= slot_of(key) < SLOTS


async def test_a_cluster_is_one_place(make_link: MakeLink, shared_cluster: Cluster) -> None:
    link = await make_link(shared_cluster.url)
    await all_up(link)
    await asyncio.gather(*(link.set(b"k%d" % number, b"v%d" % number, 60_000) for number in range(KEYS)))
    got = await asyncio.gather(*(link.get(b"k%d" % number) for number in range(KEYS)))
    assert got == [b"v%d" % number for number in range(KEYS)]
    assert all(int(str(server.says("DBSIZE"))) > KEYS // 5 for server in shared_cluster.servers)
    assert link.stats().redirected == 0
    script = Script("return redis.call('GET', KEYS[1])")
    assert await asyncio.gather(*(link.run(script, [b"k%d" % number]) for number in range(20))) == got[:20]
    assert await link.delete(b"k1")


async def test_channels_and_streams_in_a_cluster(make_link: MakeLink, shared_cluster: Cluster) -> None:
    link = await make_link(shared_cluster.url)
    await all_up(link)
    heard: list[bytes] = []
    gaps: list[bool] = []
    hearing = link.hearing(lambda _, message: heard.append(message), lambda: gaps.append(True), [b"a", b"b", b"c"])
    await until(lambda: bool(gaps), "it hears")
    for channel in (b"a", b"b", b"c"):
        await link.publish(channel, channel)
    await until(lambda: sorted(heard) == [b"a", b"b", b"c"], "all were heard, whichever server they were told to")
    for stream in (b"s1", b"s2", b"s3"):
        reading = link.reading(stream)
        await link.add(stream, [b"f", stream], 100)
        assert [item.fields for item in await reading.read(b"0", 1.0)] == [[b"f", stream]]
        await reading.close()
    await hearing.close()


async def test_slots_that_move_under_load_cost_no_wrong_answer(make_link: MakeLink, shared_cluster: Cluster) -> None:
    link = await make_link(shared_cluster.url)
    await all_up(link)
    load = Load(link)
    await until(lambda: load.right > 1000, "there is load")
    slots = sorted({slot_of(b"load%d" % number) for number in range(0, KEYS, 3)})[:12]
    for slot in slots:
        servers = shared_cluster.servers
        target = servers[(servers.index(shared_cluster.owner(slot)) + 1) % len(servers)]
        await asyncio.to_thread(shared_cluster.move, slot, target)
    before = load.right
    await until(lambda: load.right > before + 1000, "all goes on")
    await load.end()
    assert link.stats().redirected > 0
    assert load.failed == 0


async def test_a_slot_that_is_on_its_way_is_asked_for_at_its_new_place(
    make_link: MakeLink, shared_cluster: Cluster
) -> None:
    link = await make_link(shared_cluster.url)
    await all_up(link)
    slot = slot_of(b"moving")
    source = shared_cluster.owner(slot)
    target = next(server for server in shared_cluster.servers if server is not source)
    target.says("CLUSTER", "SETSLOT", slot, "IMPORTING", shared_cluster.name(source))
    source.says("CLUSTER", "SETSLOT", slot, "MIGRATING", shared_cluster.name(target))
    assert await link.get(b"moving") is None  # ASK: it is not at its old place any more
    assert await link.set(b"moving", b"1", 60_000)
    assert await link.get(b"moving") == b"1"
    assert link.stats().redirected == 3
    for server in (target, source, *shared_cluster.servers):
        server.says("CLUSTER", "SETSLOT", slot, "NODE", shared_cluster.name(target))
    assert await link.get(b"moving") == b"1"  # MOVED
    assert await link.get(b"moving") == b"1"
    assert link.stats().redirected == 4


async def test_a_server_of_a_cluster_that_dies_leaves_the_others(make_link: MakeLink, tmp_path: Path) -> None:
    with redis_cluster(tmp_path) as cluster:
        link = await make_link(cluster.url)
        await all_up(link)
        load = Load(link)
        await until(lambda: load.right > 500, "there is load")
        cluster.servers[1].kill()
        await until(lambda: load.failed > 0, "its keys are missed")
        before = load.right
        await until(lambda: load.right > before + 500, "the others are answered")
        assert link.is_up
        cluster.servers[1].start()
        await all_up(link)
        before = load.empty
        await until(lambda: load.empty > before, "its keys are asked for again")
        await load.end()


@pytest.mark.slow
async def test_a_failover_is_followed(make_link: MakeLink, tmp_path: Path) -> None:
    with watched_servers(tmp_path) as watched:
        link = await make_link(watched.url)
        load = Load(link)
        await until(lambda: load.right > 500, "there is load")
        watched.servers[0].kill()
        await until(lambda: load.failed > 0, "the master is missed")
        before = load.right
        await until(lambda: load.right > before + 500, "its successor answers", 30.0)
        watched.servers[0].start()  # which is made a replica
        await until(lambda: watched.servers[0].info("replication")["role"] == "slave", "it has been made one", 30.0)
        await load.end()
        assert await at_last(lambda: link.set(b"new", b"1", 60_000, deadline_s=5.0))
        assert watched.servers[1].says("GET", "new") == b"1"


@pytest.mark.slow
async def test_a_master_that_was_made_a_replica_is_left(make_link: MakeLink, tmp_path: Path) -> None:
    with watched_servers(tmp_path) as watched:
        link = await make_link(watched.url)
        await link.set(b"a", b"1", 60_000)
        watched.sentinels[0].says("SENTINEL", "FAILOVER", "answers")
        await until(lambda: watched.servers[0].info("replication")["role"] == "slave", "the roles are changed", 30.0)
        await at_last(lambda: link.set(b"b", b"2", 60_000))
        assert watched.servers[1].says("GET", "b") == b"2"
        assert await at_last(lambda: link.get(b"a", 5.0)) == b"1"


async def at_last[T](call: Callable[[], Awaitable[T]]) -> T:
    """Its answer, once there is one."""
    async with asyncio.timeout(30):
        while True:
            try:
                return await call()
            except RedisUnavailableError:
                await asyncio.sleep(0.01)


async def test_sentinels_that_know_nothing_are_no_master(make_link: MakeLink, tmp_path: Path) -> None:
    with watched_servers(tmp_path) as watched:
        link = await make_link(watched.url.replace("answers", "another"), is_up=False)
        with pytest.raises(RedisUnavailableError):
            await link.get(b"a")
        await until(lambda: "no_master" in reason_of(link), "that is the reason")


def reason_of(link: RedisLink) -> str:
    """Why calls fail now."""
    coroutine = link.get(b"a")
    try:
        coroutine.send(None)
    except RedisUnavailableError as failure:
        return failure.reason
    finally:
        coroutine.close()
    return ""
