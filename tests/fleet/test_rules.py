"""Invalidations among replicas, over a real Redis: heard by all, in one order, and never lost for an outage."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from proxy.fleet.rules import FleetRules
from proxy.stores.base import StoreUnavailableError
from proxy.stores.rules import Kind, Rule, Rules
from proxy.tasks import TaskSet
from tests.fleet.conftest import MakeLink
from tests.support.redis_servers import RedisServer, needs_redis
from tests.support.waiting import until

pytestmark = needs_redis()

type MakeReplica = Callable[..., Awaitable["Replica"]]


class Replica:
    """One's rules, and its ear."""

    def __init__(self, fleet: FleetRules, rules: Rules) -> None:
        self.fleet = fleet
        self.rules = rules

    def held(self) -> list[tuple[Kind, str]]:
        return [(rule.kind, rule.value) for rule in self.rules]


@pytest.fixture
async def make_replica(server: RedisServer, make_link: MakeLink) -> AsyncIterator[MakeReplica]:
    made: list[Replica] = []
    tasks = TaskSet()

    async def make(*, is_up: bool = True, prefix: str = "skinflint") -> Replica:
        rules = Rules()
        replica = Replica(FleetRules(await make_link(server.url, is_up=is_up), prefix, rules.add, tasks), rules)
        made.append(replica)
        replica.fleet.start()
        if is_up:
            await replica.fleet.current.wait()
        return replica

    yield make
    for replica in made:
        await replica.fleet.stop()
    await tasks.cancel()


async def test_every_replica_hears_it(make_replica: MakeReplica) -> None:
    replicas = [await make_replica() for _ in range(3)]
    kept = await replicas[0].fleet.keep(Rule(Kind.TAG, 'a "quoted" tag, [x]', 1))
    for replica in replicas:
        await until(lambda replica=replica: replica.rules.stamp == kept.stamp, "it is heard")  # type: ignore[misc]
        assert list(replica.rules) == [kept]


async def test_stamps_are_redis_own_and_grow_whatever_the_clocks_say(make_replica: MakeReplica) -> None:
    one, other = await make_replica(), await make_replica()
    ahead = 4_000_000_000_000_000
    first = await one.fleet.keep(Rule(Kind.TAG, "a", ahead))
    second = await other.fleet.keep(Rule(Kind.TAG, "b", 1))
    assert first.stamp == ahead
    assert second.stamp == ahead + 1


async def test_who_comes_later_reads_what_was_told_before(make_replica: MakeReplica) -> None:
    one = await make_replica()
    for tag in "abc":
        await one.fleet.keep(Rule(Kind.TAG, tag, 1))
    assert (await make_replica()).held() == [(Kind.TAG, tag) for tag in "abc"]
    assert (await make_replica(prefix="another")).held() == []


async def test_everything_takes_the_place_of_what_was_told_before(
    make_replica: MakeReplica, server: RedisServer
) -> None:
    one = await make_replica()
    for tag in "abc":
        await one.fleet.keep(Rule(Kind.TAG, tag, 1))
    await one.fleet.keep(Rule(Kind.ALL, "", 1))
    assert server.says("LLEN", "skinflint:{rules}:list") == 1
    assert (await make_replica()).held() == [(Kind.ALL, "")]


async def test_a_list_that_grew_too_long_becomes_one_rule(make_replica: MakeReplica, server: RedisServer) -> None:
    server.says("EVAL", "for i = 1, 4096 do redis.call('RPUSH', KEYS[1], '[\"tag\",\"t\",' .. i .. ']') end", 1,
                "skinflint:{rules}:list")  # fmt: skip
    one = await make_replica()
    await one.fleet.keep(Rule(Kind.TAG, "last", 1))
    assert server.says("LLEN", "skinflint:{rules}:list") == 1
    await until(lambda: (Kind.ALL, "") in one.held(), "it is heard")


async def test_what_redis_could_not_be_told_is_told_when_it_is_back(
    make_replica: MakeReplica, server: RedisServer
) -> None:
    one = await make_replica()
    server.kill()
    with pytest.raises(StoreUnavailableError):
        await one.fleet.keep(Rule(Kind.TAG, "a", 7))
    await one.fleet.catch_up()
    server.start()
    other = await make_replica()
    async with asyncio.timeout(20):
        while not other.held():
            await one.fleet.catch_up()
            await asyncio.sleep(0.01)
    assert other.held() == [(Kind.TAG, "a")]
    assert other.rules.stamp > 7


async def test_what_was_told_while_one_was_deaf_is_read_when_it_hears_again(
    make_replica: MakeReplica, server: RedisServer
) -> None:
    one, other = await make_replica(), await make_replica()
    server.says("CLIENT", "KILL", "TYPE", "pubsub")
    await one.fleet.keep(Rule(Kind.TAG, "a", 1))
    await until(lambda: other.held() == [(Kind.TAG, "a")], "it is read")


async def test_where_calls_were_cut_off_messages_may_be_late_and_the_list_is_read_first(
    make_replica: MakeReplica, server: RedisServer
) -> None:
    one = await make_replica()
    assert one.fleet.may_answer()
    server.says("RPUSH", "skinflint:{rules}:list", '["tag","late",5]')  # and its message is under way
    server.says("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
    await until(lambda: not one.fleet.may_answer(), "the fall is noticed")
    async with asyncio.timeout(20):
        while not one.fleet.may_answer():
            await one.fleet.catch_up()  # as the process does each second: the first try may meet a lane that is down
            await asyncio.sleep(0.01)
    assert one.held() == [(Kind.TAG, "late")]


async def test_what_redis_has_forgotten_is_told_again_once_and_with_its_stamp(
    make_replica: MakeReplica, server: RedisServer
) -> None:
    one, other = await make_replica(), await make_replica()
    kept = await one.fleet.keep(Rule(Kind.TAG, "a", 1))
    await until(lambda: other.held() == [(Kind.TAG, "a")], "it is heard")
    server.kill()
    server.start()
    await until(lambda: server.says("LLEN", "skinflint:{rules}:list") == 1, "it is told again")
    third = await make_replica()
    assert list(third.rules) == [kept]
    await until(lambda: one.fleet.may_answer() and other.fleet.may_answer(), "all know everything again")
    assert server.says("LLEN", "skinflint:{rules}:list") == 1
    assert (await one.fleet.keep(Rule(Kind.TAG, "b", 1))).stamp > kept.stamp


async def test_a_line_that_cannot_be_read_forgets_everything(make_replica: MakeReplica, server: RedisServer) -> None:
    one = await make_replica()
    server.says("PUBLISH", "skinflint:{rules}:channel", '["of a later version","",5]')
    await until(lambda: one.held() == [(Kind.ALL, "")], "it is taken for everything")


async def test_without_redis_it_is_known_that_rules_are_not(make_replica: MakeReplica, server: RedisServer) -> None:
    server.kill()
    one = await make_replica(is_up=False)
    await one.fleet.catch_up()
    assert not one.fleet.current.is_set()
