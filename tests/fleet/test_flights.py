"""Identical calls that come to different replicas: one of them makes the call, the others follow it."""

import asyncio
import base64
import time
from pathlib import Path

import pytest

from config.caching import OperationPolicy
from proxy.exchange.model import Response
from proxy.exchange.record import Outcome
from proxy.stores.rules import Kind, Rule
from tests.addons.streams import FIRST, WHOLE, chatting, consumed
from tests.fleet.replicas import PREFIX, fleet
from tests.support.exchanges import CHAT_ANSWER, answer, settings
from tests.support.redis_servers import RedisServer, needs_redis
from tests.support.waiting import until

pytestmark = needs_redis()


@pytest.fixture
def url(shared_server: RedisServer) -> str:
    shared_server.says("FLUSHALL")
    return shared_server.url


def kept(server: RedisServer, kind: str) -> int:
    found = server.says("KEYS", f"{PREFIX}:{kind}:*")
    assert isinstance(found, list)
    return len(found)


def streams_of(server: RedisServer) -> list[bytes]:
    found = server.says("KEYS", f"{PREFIX}:s:*")
    assert isinstance(found, list)
    return found


async def test_calls_to_three_replicas_become_one_and_leave_no_stream(url: str, shared_server: RedisServer) -> None:
    async with fleet(url, url, url) as three:
        asking = [three.replicas[number % 3].ask(chatting()) for number in range(12)]
        responses = await asyncio.gather(*asking)
        assert three.upstream_calls == 1
        (body,) = [body for replica in three.replicas for body in replica.bodies]
        body.feed(*WHOLE)
        body.end()
        assert await asyncio.gather(*map(consumed, responses)) == [b"".join(WHOLE)] * 12
        await until(lambda: three.claimed == 0, "the claim is given back")
        await until(lambda: kept(shared_server, "s") == 0, "the stream is gone")


async def test_a_call_that_nobody_shares_leaves_nothing_but_a_mark(url: str, shared_server: RedisServer) -> None:
    async with fleet(url) as one:
        (replica,) = one.replicas
        for number in range(2):  # the first sends the scripts' texts as well
            shared_server.says("FLUSHALL")
            response = await replica.ask(chatting(fingerprint=bytes([number]) * 32))
            replica.bodies[number].feed(*WHOLE)
            replica.bodies[number].end()
            before = replica.link.stats().calls
            await consumed(response)
            await until(lambda: one.claimed == 0, "the claim is given back")
            await until(lambda: kept(shared_server, "e") == 1, "the answer is in Redis")
        assert replica.link.stats().calls == before + 2
        names = shared_server.says("KEYS", "*")
        assert isinstance(names, list)
        assert sorted(name.split(b":")[1] for name in names) == [b"e", b"f"]
        assert shared_server.says("GET", next(name for name in names if b":f:" in name)) == b"-"


async def test_a_call_that_nobody_shares_asks_redis_for_nothing_but_its_answer_and_the_claim(url: str) -> None:
    async with fleet(url) as one:
        (replica,) = one.replicas
        for number in range(2):  # the first sends the script's text as well
            before = replica.link.stats().calls
            await replica.ask(chatting(fingerprint=bytes([number]) * 32))
            asked = replica.link.stats().calls - before
        assert asked == 2


async def test_when_all_clients_leave_the_call_ends_although_another_replica_made_it(url: str) -> None:
    async with fleet(url, url) as both:
        first, second = both.replicas
        leading = await first.ask(chatting())
        following = await second.ask(chatting())
        first.bodies[0].feed(FIRST)
        await consumed(leading, limit=1)
        await consumed(following, limit=1)
        await until(lambda: first.bodies[0].closed == 1, "the call is given up")


async def test_what_another_replica_stored_after_the_cache_was_asked_is_a_hit(url: str) -> None:
    async with fleet(url, url) as both:
        first, second = both.replicas
        first.answers.append(answer(CHAT_ANSWER))
        missed, go_on = asyncio.Event(), asyncio.Event()
        join = second.peers.join

        async def late(flight: object) -> Response | None:
            missed.set()
            await go_on.wait()
            return await join(flight)  # type: ignore[arg-type]

        second.peers.join = late  # type: ignore[method-assign]
        follower = chatting(b"{}", wall_time=time.time())
        asking = asyncio.ensure_future(second.ask(follower))
        await missed.wait()
        await first.ask(chatting(b"{}", wall_time=time.time()))
        await until(lambda: both.claimed == 0, "the claim is given back")
        go_on.set()
        assert (await asking).body == CHAT_ANSWER
        assert follower.outcome is Outcome.HIT
        assert both.upstream_calls == 0


async def test_a_follower_goes_on_past_the_limit(url: str) -> None:
    small = settings(limits={"max_answer_bytes": 100_000}, collapse={"max_lag_bytes": 50_000})
    async with fleet(url, url, settings=small) as both:
        first, second = both.replicas
        leading = await first.ask(chatting())
        following = await second.ask(chatting())
        piece = b"x" * 10_000

        async def feeding() -> None:
            for _ in range(40):
                first.bodies[0].feed(piece)
                await asyncio.sleep(0.005)
            first.bodies[0].end()

        texts = await asyncio.gather(consumed(leading), consumed(following), feeding())
        assert texts[0] == texts[1] == piece * 40


async def test_a_follower_that_reads_late_gets_the_rest_from_the_stream(url: str) -> None:
    small = settings(collapse={"max_lag_bytes": 50_000})
    async with fleet(url, url, settings=small) as both:
        first, second = both.replicas
        leading = await first.ask(chatting())
        following = await second.ask(chatting())
        pieces = [bytes([number]) * 20_000 for number in range(100)]
        first.bodies[0].feed(*pieces)
        first.bodies[0].end()
        assert await consumed(leading) == b"".join(pieces)
        assert await consumed(following) == b"".join(pieces)


async def test_a_call_that_knows_of_a_later_invalidation_follows_no_call_from_before_it(url: str) -> None:
    async with fleet(url, url, url) as three:
        first, second, third = three.replicas
        before = [await first.ask(chatting()), await second.ask(chatting())]
        third.store.rules.add(Rule(Kind.ALL, "", 10))
        after = [await third.ask(chatting())]
        assert (len(first.bodies), len(second.bodies), len(third.bodies)) == (1, 0, 1)
        second.store.rules.add(Rule(Kind.ALL, "", 10))
        after.append(await second.ask(chatting()))  # while this replica still follows the earlier one
        assert three.upstream_calls == 2
        for replica, piece in ((first, b"old"), (third, b"new")):
            replica.bodies[0].feed(piece)
            replica.bodies[0].end()
        assert await asyncio.gather(*map(consumed, before)) == [b"old"] * 2
        assert await asyncio.gather(*map(consumed, after)) == [b"new"] * 2


async def test_two_claims_at_the_same_moment_have_one_winner(url: str) -> None:
    async with fleet(url, url) as both:
        for number in range(20):
            key = bytes([number]) * 32
            responses = await asyncio.gather(*(each.ask(chatting(fingerprint=key)) for each in both.replicas))
            assert both.upstream_calls == number + 1
            (body,) = [body for each in both.replicas for body in each.bodies]
            body.feed(*WHOLE)
            body.end()
            await asyncio.gather(*map(consumed, responses))
            for each in both.replicas:
                each.bodies.clear()


SECRET = OperationPolicy(sensitive=True)
WORDS = b"data: what nobody else may read\n\n"


async def test_sensitive_answers_do_not_go_through_redis_in_the_clear(url: str, shared_server: RedisServer) -> None:
    async with fleet(url, url) as both:
        for replica in both.replicas:
            await replica.ask(chatting(policy=SECRET))
        assert both.upstream_calls == 2
        assert shared_server.says("KEYS", "*") == []


async def test_with_keys_they_are_shared_and_what_goes_through_redis_is_encrypted(
    url: str, shared_server: RedisServer, tmp_path: Path
) -> None:
    keys = tmp_path / "keys"
    keys.touch(0o600)
    keys.write_bytes(b"one " + base64.b64encode(bytes(32)))
    encrypting = settings(cache={"encryption": {"key_file": str(keys)}})
    async with fleet(url, url, settings=encrypting) as both:
        first, second = both.replicas
        await first.ask(chatting(policy=SECRET))
        following = await second.ask(chatting(policy=SECRET))
        first.bodies[0].feed(WORDS)
        assert not isinstance(following.body, bytes)
        assert await following.body.read() == WORDS
        (stream,) = streams_of(shared_server)
        kept_there = shared_server.says("XRANGE", stream, "-", "+")
        assert WORDS not in repr(kept_there).encode()
        assert b"nobody" not in repr(kept_there).encode()
        assert b"event-stream" not in repr(kept_there).encode()


async def test_whoever_has_other_keys_makes_the_call(url: str, tmp_path: Path) -> None:
    settings_of = []
    for number in range(2):
        keys = tmp_path / f"keys-{number}"
        keys.touch(0o600)
        keys.write_bytes(b"one " + base64.b64encode(bytes([number]) * 32))
        settings_of.append(settings(cache={"encryption": {"key_file": str(keys)}}))
    async with fleet(url, settings=settings_of[0]) as one, fleet(url, settings=settings_of[1]) as other:
        await one.replicas[0].ask(chatting())
        await other.replicas[0].ask(chatting())
        assert (one.upstream_calls, other.upstream_calls) == (1, 1)
