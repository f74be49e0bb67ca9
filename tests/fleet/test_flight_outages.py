"""Flights across replicas when a replica, or Redis, is gone, hangs, or has forgotten."""

import asyncio
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from proxy.exchange.errors import UpstreamError
from proxy.exchange.model import Exchange, Response
from proxy.exchange.record import Outcome
from proxy.fleet.cluster import slot_of
from proxy.stores.sealing.sealer import Sealer
from tests.addons.streams import FIRST, WHOLE, chatting, consumed
from tests.fleet.replicas import PREFIX, Replica, fleet
from tests.support.exchanges import settings
from tests.support.redis_servers import RedisServer, needs_redis, redis_cluster
from tests.support.waiting import until

pytestmark = needs_redis()

SHORT = settings(collapse={"lease_s": 1.0})


@pytest.fixture
def url(server: RedisServer) -> str:
    return server.url


def named(server: RedisServer, kind: str) -> list[bytes]:
    """The keys of this kind."""
    found = server.says("KEYS", f"{PREFIX}:{kind}:*")
    assert isinstance(found, list)
    return found


def hanging(replica: Replica) -> None:
    """Its calls get no head."""

    async def never(_called: Exchange) -> Response:
        return await asyncio.get_running_loop().create_future()

    replica.origin = never  # type: ignore[method-assign]


async def led_in_vain(first: Replica) -> asyncio.Task[Response]:
    hanging(first)
    leading = asyncio.ensure_future(first.ask(chatting()))
    await until(lambda: first.peers.now.led == 1, "it is claimed")
    return leading


async def over(task: asyncio.Task[Response]) -> None:
    task.cancel()
    await asyncio.wait([task])


async def test_when_the_leader_dies_before_the_head_one_follower_makes_the_call(url: str) -> None:
    async with fleet(url, url, url, settings=SHORT) as three:
        first, second, third = three.replicas
        leading = await led_in_vain(first)
        following = [asyncio.ensure_future(each.ask(chatting())) for each in (second, third, second, third)]
        await until(lambda: first.peers.now.replayed == 1, "they follow")
        started = time.monotonic()
        await first.vanish()
        responses = await asyncio.gather(*following)
        assert time.monotonic() - started < 2.5
        assert three.upstream_calls == 1  # one more for all of them
        (body,) = second.bodies + third.bodies
        body.feed(*WHOLE)
        body.end()
        assert await asyncio.gather(*map(consumed, responses)) == [b"".join(WHOLE)] * 4
        await over(leading)


async def test_when_the_leader_dies_in_mid_stream_the_followers_streams_break_off(url: str) -> None:
    async with fleet(url, url, settings=SHORT) as both:
        first, second = both.replicas
        await first.ask(chatting())
        follower = chatting()
        following = await second.ask(follower)
        first.bodies[0].feed(FIRST)
        assert not isinstance(following.body, bytes)
        assert await following.body.read() == FIRST
        started = time.monotonic()
        await first.vanish()
        with pytest.raises(UpstreamError) as raised:
            await consumed(following)
        assert time.monotonic() - started < 1.5
        assert raised.value.code == "connection_terminated"
        assert follower.call is not None
        assert follower.call.ended
        assert second.bodies == []


async def test_a_leader_that_stops_in_order_lets_followers_make_the_call_at_once(url: str) -> None:
    async with fleet(url, url) as both:  # with a lease of five seconds
        first, second = both.replicas
        leading = await led_in_vain(first)
        following = asyncio.ensure_future(second.ask(chatting()))
        await until(lambda: first.peers.now.replayed == 1, "the second follows")
        started = time.monotonic()
        await first.peers.stop(0)
        await following
        assert time.monotonic() - started < 2
        assert len(second.bodies) == 1
        await over(leading)


async def test_a_replica_that_takes_no_more_followers_goes_on_for_those_it_has(url: str) -> None:
    async with fleet(url, url) as both:
        first, second = both.replicas
        alone, shared = b"a" * 32, b"s" * 32
        for key in (alone, shared):
            await first.ask(chatting(fingerprint=key))
        following = await second.ask(chatting(fingerprint=shared))
        first.peers.refuse()
        await second.ask(chatting(fingerprint=alone))
        assert (len(first.bodies), len(second.bodies)) == (2, 1)
        first.bodies[1].feed(*WHOLE)
        first.bodies[1].end()
        assert await consumed(following) == b"".join(WHOLE)


async def test_whoever_finds_a_replay_may_follow_it_even_of_a_replica_that_stops(url: str) -> None:
    async with fleet(url, url, url) as three:
        first, second, third = three.replicas
        await first.ask(chatting())
        responses = [await second.ask(chatting())]
        first.peers.refuse()
        responses.append(await third.ask(chatting()))
        first.bodies[0].feed(*WHOLE)
        first.bodies[0].end()
        assert await asyncio.gather(*map(consumed, responses)) == [b"".join(WHOLE)] * 2
        assert three.upstream_calls == 1


async def test_a_claim_that_was_left_behind_is_taken_over(url: str, server: RedisServer) -> None:
    async with fleet(url) as one:
        (replica,) = one.replicas
        key = chatting().fingerprint
        assert key is not None
        server.says("SET", f"{PREFIX}:f:{{{key.hex()}}}", "0123456789abcdef:1:0", "PX", 400)
        started = time.monotonic()
        await replica.ask(chatting())
        assert time.monotonic() - started < 5
        assert len(replica.bodies) == 1


async def test_leaders_that_are_no_more_are_refused_by_their_replica(url: str, server: RedisServer) -> None:
    async with fleet(url, url) as both:
        first, second = both.replicas
        key = chatting().fingerprint
        assert key is not None
        forgotten = f"{first.peers._replica}:99:0"
        server.says("SET", f"{PREFIX}:f:{{{key.hex()}}}", forgotten, "PX", 60_000)
        started = time.monotonic()
        await second.ask(chatting())
        assert time.monotonic() - started < 2
        assert len(second.bodies) == 1


async def forget_streams(server: RedisServer) -> None:
    server.says("DEL", *named(server, "s"))


async def forget_everything(server: RedisServer) -> None:
    server.says("FLUSHALL")


async def restart(server: RedisServer) -> None:
    server.kill()
    server.start()


async def stand_still(server: RedisServer) -> None:
    server.says("CLIENT", "PAUSE", 1500)


async def cut_connections(server: RedisServer) -> None:
    server.says("CLIENT", "KILL", "TYPE", "pubsub")
    server.says("CLIENT", "KILL", "TYPE", "normal")


@pytest.mark.parametrize("harm", [forget_streams, forget_everything, restart, stand_still, cut_connections])
async def test_streams_go_on_whatever_redis_forgets(
    url: str, server: RedisServer, harm: Callable[[RedisServer], asyncio.Future[None]]
) -> None:
    async with fleet(url, url, url) as three:
        first, second, third = three.replicas
        responses = [await replica.ask(chatting()) for replica in (first, second, second, third)]
        reading = [asyncio.ensure_future(consumed(response)) for response in responses]
        pieces = [b"%04d" % number for number in range(300)]
        for piece in pieces[:50]:
            first.bodies[0].feed(piece)
            await asyncio.sleep(0.002)
        await harm(server)
        for piece in pieces[50:]:
            first.bodies[0].feed(piece)
            await asyncio.sleep(0.002)
        first.bodies[0].end()
        assert await asyncio.gather(*reading) == [b"".join(pieces)] * 4
        assert three.upstream_calls == 1


async def test_a_claim_that_redis_forgot_is_claimed_again_by_its_leader(url: str, server: RedisServer) -> None:
    async with fleet(url, url, settings=SHORT) as both:
        first, second = both.replicas
        await first.ask(chatting())
        server.says("FLUSHALL")
        await until(lambda: len(named(server, "f")) == 1, "it is claimed again")
        await second.ask(chatting())
        assert both.upstream_calls == 1


async def test_without_redis_calls_are_made_at_once_and_shared_when_it_is_back(url: str, server: RedisServer) -> None:
    async with fleet(url, url, settings=SHORT) as both:
        first, second = both.replicas
        server.kill()
        await until(lambda: not first.link.is_up and not second.link.is_up, "it is noticed")
        started = time.monotonic()
        leading = await first.ask(chatting())
        assert time.monotonic() - started < 0.3
        server.start()
        await until(lambda: bool(named(server, "f")), "the flight is claimed after all")
        await until(lambda: second.link.is_up, "the other is back")
        following = await second.ask(chatting())
        assert both.upstream_calls == 1
        first.bodies[0].feed(*WHOLE)
        first.bodies[0].end()
        assert await asyncio.gather(consumed(leading), consumed(following)) == [b"".join(WHOLE)] * 2


async def test_a_follower_without_a_head_waits_a_lease_for_redis_and_no_longer(url: str, server: RedisServer) -> None:
    async with fleet(url, url, settings=SHORT) as both:
        first, second = both.replicas
        leading = await led_in_vain(first)
        following = asyncio.ensure_future(second.ask(chatting()))
        await until(lambda: first.peers.now.replayed == 1, "the second follows")
        server.kill()
        started = time.monotonic()
        await following
        assert time.monotonic() - started < 3
        assert len(second.bodies) == 1
        await over(leading)


async def test_a_full_redis_shares_nothing_and_fails_nobody(url: str, server: RedisServer) -> None:
    async with fleet(url, url) as both:
        server.says("CONFIG", "SET", "maxmemory", "1")
        responses = await asyncio.gather(*(each.ask(chatting()) for each in both.replicas))
        assert both.upstream_calls == 2
        for replica, response in zip(both.replicas, responses, strict=True):
            replica.bodies[0].feed(*WHOLE)
            replica.bodies[0].end()
            assert await consumed(response) == b"".join(WHOLE)


async def test_a_redis_that_is_full_when_the_answer_begins_lets_followers_make_the_call(
    url: str, server: RedisServer
) -> None:
    async with fleet(url, url, settings=SHORT) as both:
        first, second = both.replicas
        may_answer = first.hold()
        leading = asyncio.ensure_future(first.ask(chatting()))
        await until(lambda: first.peers.now.led == 1, "it is claimed")
        follower = chatting()
        following = asyncio.ensure_future(second.ask(follower))
        await until(lambda: first.peers.now.replayed == 1, "the second follows")
        server.says("CONFIG", "SET", "maxmemory", "1")
        may_answer.set()
        await following
        assert follower.outcome is not Outcome.COLLAPSED
        assert len(second.bodies) == 1
        await leading


@pytest.mark.parametrize("garbage", [b"", b"\x00", b"\xff" * 40, b"\x00\x00\x00\x02\x04{}"])
async def test_a_stream_that_is_not_understood_is_done_without(url: str, server: RedisServer, garbage: bytes) -> None:
    async with fleet(url, settings=SHORT) as one:
        (replica,) = one.replicas
        key = chatting().fingerprint
        assert key is not None
        tag = f"{{{key.hex()}}}"
        server.says("SET", f"{PREFIX}:f:{tag}", "0123456789abcdef:1:0", "PX", 2_000)
        server.says("XADD", f"{PREFIX}:s:{tag}:0123456789abcdef:1", "*", "m", garbage)
        await replica.ask(chatting())
        assert len(replica.bodies) == 1


async def test_with_too_few_connections_nothing_is_shared_and_nobody_fails(url: str) -> None:
    async with fleet(url) as one:
        (replica,) = one.replicas
        more = [replica.link.hearing(lambda _channel, _message: None, lambda: None) for _ in range(5)]
        other = type(replica.peers)(replica.link, PREFIX, SHORT.collapse, Sealer(), replica.store.written)
        other.start()
        replica.stage._peers = other
        await replica.ask(chatting())
        assert len(replica.bodies) == 1
        assert other.now.led == 0
        for hearing in more:
            await hearing.close()


@pytest.mark.slow
async def test_streams_go_on_when_their_slot_moves_to_another_server_of_a_cluster(tmp_path: Path) -> None:
    with redis_cluster(tmp_path / "cluster") as cluster:
        async with fleet(cluster.url, cluster.url) as both:
            first, second = both.replicas
            responses = [await replica.ask(chatting()) for replica in (first, second, second)]
            reading = [asyncio.ensure_future(consumed(response)) for response in responses]
            key = chatting().fingerprint
            assert key is not None
            slot = slot_of(key.hex().encode())
            pieces = [b"%04d" % number for number in range(400)]

            async def feeding() -> None:
                for piece in pieces:
                    first.bodies[0].feed(piece)
                    await asyncio.sleep(0.005)
                first.bodies[0].end()

            def moving() -> None:
                for _ in range(2):
                    owner = cluster.owner(slot)
                    cluster.move(slot, next(server for server in cluster.servers if server is not owner))

            await asyncio.gather(feeding(), asyncio.to_thread(moving))
            assert await asyncio.gather(*reading) == [b"".join(pieces)] * 3
            assert both.upstream_calls == 1
