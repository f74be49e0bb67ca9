"""What sharing calls promises, among workers of a machine and replicas of a fleet: one calls, others follow."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest

from proxy.exchange.errors import Refusal, UpstreamError
from proxy.exchange.record import Outcome
from tests.addons.streams import DONE, FIRST, SECOND, USAGE, WHOLE, chatting, consumed
from tests.fleet.replicas import fleet
from tests.support.exchanges import CHAT_ANSWER, JSON, answer, settings
from tests.support.redis_servers import RedisServer, needs_redis, redis_server
from tests.support.sharers import Sharers
from tests.support.waiting import until
from tests.workers.neighbours import neighbours

type OpenTwo = Callable[..., AbstractAsyncContextManager[Sharers]]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with redis_server(tmp_path_factory.mktemp("redis")) as running:
        yield running


@pytest.fixture(params=["workers", pytest.param("replicas", marks=needs_redis())])
def two(request: pytest.FixtureRequest, tmp_path: Path) -> OpenTwo:
    """Opens two that share."""
    if request.param == "workers":
        return lambda **more: neighbours(tmp_path, **more)
    server: RedisServer = request.getfixturevalue("server")
    server.says("FLUSHALL")
    return lambda **more: fleet(server.url, server.url, **more)


async def test_calls_to_both_become_one(two: OpenTwo) -> None:
    async with two() as both:
        called = [chatting() for _ in range(10)]
        asking = [both.all[number % 2].ask(each) for number, each in enumerate(called)]
        responses = await asyncio.gather(*asking)
        assert both.upstream_calls == 1
        (body,) = [body for each in both.all for body in each.bodies]
        body.feed(*WHOLE)
        body.end()
        assert await asyncio.gather(*map(consumed, responses)) == [b"".join(WHOLE)] * 10
        assert sorted(each.outcome for each in called) == [Outcome.COLLAPSED] * 9 + [Outcome.MISS]
        (leader,) = [each for each in called if each.outcome is Outcome.MISS]
        assert leader.call is not None
        for each in called:
            assert each.call is not None
            assert each.call.ended
            assert each.call.complete
            assert each.call.usage == leader.call.usage is not None
            assert each.call.bytes_received == len(b"".join(WHOLE))
            assert abs(each.call.started_at - leader.call.started_at) < 1
        await until(lambda: both.claimed == 0, "the claim is given back")


async def test_a_late_follower_gets_what_was_sent_before_it_came(two: OpenTwo) -> None:
    async with two() as both:
        first, second = both.all
        leading = await first.ask(chatting())
        first.bodies[0].feed(FIRST, SECOND)
        assert not isinstance(leading.body, bytes)
        assert await leading.body.read() == FIRST
        following = await second.ask(chatting())
        assert not isinstance(following.body, bytes)
        assert [await following.body.read(), await following.body.read()] == [FIRST, SECOND]
        first.bodies[0].feed(USAGE, DONE)
        first.bodies[0].end()
        assert await consumed(following) == USAGE + DONE
        assert await consumed(leading) == SECOND + USAGE + DONE


async def test_status_and_fields_cross_as_they_are(two: OpenTwo) -> None:
    async with two() as both:
        first, second = both.all
        fields = [*JSON, (b"x-odd", bytes(range(0x80, 0x100))), (b"x-twice", b"1"), (b"x-twice", b"2")]
        may_answer = first.hold()
        first.answers.append(answer(CHAT_ANSWER, 203, fields))
        asking = [asyncio.ensure_future(first.ask(chatting()))]
        await until(lambda: both.claimed == 1, "the first has claimed it")
        asking.append(asyncio.ensure_future(second.ask(chatting())))
        await until(lambda: first.readers() == 2, "the second follows")
        may_answer.set()
        responses = await asyncio.gather(*asking)
        assert [(each.status, each.headers, each.body) for each in responses] == [(203, fields, CHAT_ANSWER)] * 2
        assert both.upstream_calls == 0


@pytest.mark.parametrize(
    "failure",
    [UpstreamError("connection_refused", "no", status=504, sent=False), Refusal("budget", "spent", status=429)],
    ids=["upstream", "refusal"],
)
async def test_a_failure_before_the_head_reaches_the_follower_as_it_is(
    two: OpenTwo, failure: UpstreamError | Refusal
) -> None:
    async with two() as both:
        first, second = both.all
        may_answer = first.hold()
        first.answers.append(failure)
        follower = chatting()
        asking = [asyncio.ensure_future(first.ask(chatting()))]
        await until(lambda: both.claimed == 1, "the first has claimed it")
        asking.append(asyncio.ensure_future(second.ask(follower)))
        await until(lambda: first.readers() == 2, "the second follows")
        may_answer.set()
        failures = await asyncio.gather(*asking, return_exceptions=True)
        assert [type(each) for each in failures] == [type(failure)] * 2
        assert {(each.code, each.message, each.status) for each in failures if isinstance(each, type(failure))} == {
            (failure.code, failure.message, failure.status)
        }
        assert second.bodies == []
        assert follower.call is not None
        assert follower.call.ended


async def test_a_stream_that_breaks_off_breaks_off_for_followers(two: OpenTwo) -> None:
    async with two() as both:
        first, second = both.all
        leader, follower = chatting(), chatting()
        leading = await first.ask(leader)
        following = await second.ask(follower)
        first.bodies[0].feed(FIRST)
        first.bodies[0].fail()
        for response in (leading, following):
            with pytest.raises(UpstreamError) as raised:
                await consumed(response)
            assert raised.value.code == "http_response_incomplete"
        assert leader.call is not None
        assert follower.call is not None
        assert follower.call.ended
        assert not follower.call.complete
        assert follower.call.usage == leader.call.usage


async def test_the_leader_may_leave_while_another_one_follows(two: OpenTwo) -> None:
    async with two() as both:
        first, second = both.all
        leading = await first.ask(chatting())
        following = await second.ask(chatting())
        first.bodies[0].feed(FIRST)
        await consumed(leading, limit=1)
        first.bodies[0].feed(SECOND, USAGE, DONE)
        first.bodies[0].end()
        assert await consumed(following) == b"".join(WHOLE)
        assert first.bodies[0].closed == 1


async def test_followers_that_leave_harm_nobody_and_the_last_reader_ends_the_call(two: OpenTwo) -> None:
    async with two() as both:
        first, second = both.all
        leading = await first.ask(chatting())
        follower = chatting()
        following = await second.ask(follower)
        first.bodies[0].feed(FIRST)
        assert await consumed(following, limit=1) == FIRST
        call = follower.call
        assert call is not None
        await until(lambda: call.ended, "the follower's call has ended")
        await until(lambda: both.followed == 0, "the follower is gone")
        first.bodies[0].feed(SECOND)
        assert await consumed(leading, limit=2) == FIRST + SECOND
        await until(lambda: first.bodies[0].closed == 1, "the call is given up")
        await until(lambda: both.claimed == 0, "the claim is given back")


async def test_an_answer_past_the_limit_is_no_longer_joined_and_the_next_one_leads(two: OpenTwo) -> None:
    async with two(settings=settings(limits={"max_answer_bytes": 1024})) as both:
        first, second = both.all
        leading = await first.ask(chatting())
        first.bodies[0].feed(b": " + b"x" * 2000 + b"\n\n")
        assert not isinstance(leading.body, bytes)
        await leading.body.read()
        await second.ask(chatting())
        assert len(second.bodies) == 1
        first.bodies[0].end()
        assert await consumed(leading) == b""
        assert both.claimed == 1  # the second's: the first has not given back what is not its own


async def test_large_answers_cross_whole(two: OpenTwo) -> None:
    async with two() as both:
        first, second = both.all
        leading = await first.ask(chatting())
        following = await second.ask(chatting())
        pieces = [bytes([number]) * (300_000 + number) for number in range(10)]
        first.bodies[0].feed(*pieces)
        first.bodies[0].end()
        both_read = await asyncio.gather(consumed(leading), consumed(following))
        assert both_read == [b"".join(pieces)] * 2
