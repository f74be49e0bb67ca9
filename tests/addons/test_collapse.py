"""Which calls share a flight, and which want one of their own."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from addons.cache import CacheStage
from addons.collapse import Collapse, PeersInTurn
from addons.observe import Observe
from proxy.exchange.cache_control import parse
from proxy.exchange.errors import UpstreamError
from proxy.exchange.flight import Flight
from proxy.exchange.model import Ending, Exchange, Response
from proxy.exchange.record import Outcome
from proxy.exchange.usage import Usage
from proxy.stores.memory import MemoryStore
from proxy.tasks import TaskSet
from tests.addons.streams import DONE, FIRST, SECOND, USAGE, WHOLE, chatting, consumed, cost, no_renewals
from tests.support.exchanges import SSE, Fed, Origin, Pieces, Watching, answer, calling, settings, turns
from tests.support.waiting import until


class Together:
    """collapse and observe in front of bodies that the test feeds."""

    def __init__(self, *among: object, **sections: object) -> None:
        self.tasks = TaskSet()
        self.stage = Collapse(settings(**sections), self.tasks, *among)  # type: ignore[arg-type]
        self.bodies: list[Fed] = []

    async def origin(self, called: Exchange) -> Response:
        self.bodies.append(Fed())
        return answer(self.bodies[-1], headers=SSE)

    async def ask(self, called: Exchange) -> Response:
        return await calling(self.stage, Observe(TaskSet()), end=self.origin)(called)


async def test_identical_calls_in_flight_become_one() -> None:
    together = Together()
    called = [chatting() for _ in range(5)]
    responses = await asyncio.gather(*map(together.ask, called))
    assert len(together.bodies) == 1
    assert together.stage.in_flight() == 1
    together.bodies[0].feed(*WHOLE)
    together.bodies[0].end()
    assert await asyncio.gather(*map(consumed, responses)) == [b"".join(WHOLE)] * 5
    assert together.stage.in_flight() == 0
    leader, *followers = called
    assert leader.outcome is Outcome.BYPASS  # it is cache's to say what the leader's is
    for follower in followers:
        assert follower.outcome is Outcome.COLLAPSED
        assert follower.cache_status == "fwd=uri-miss; collapsed"
        assert follower.call is leader.call
    assert leader.call is not None
    assert leader.call.complete


async def test_after_a_flight_the_next_call_makes_its_own() -> None:
    together = Together()
    for _ in range(2):
        response = await together.ask(chatting())
        together.bodies[-1].end()
        await consumed(response)
    assert len(together.bodies) == 2


@pytest.mark.parametrize(
    "more", [{"fingerprint": None}, {"collapses": False}, {"answers_again": False}], ids=lambda more: next(iter(more))
)
async def test_what_may_not_be_shared_is_not(more: dict[str, object]) -> None:
    together = Together()
    for _ in range(2):
        called = chatting()
        for name, value in more.items():
            setattr(called, name, value)
        await together.ask(called)
    assert len(together.bodies) == 2
    assert together.stage.in_flight() == 0


@pytest.mark.parametrize("value", [b"no-store", b"no-cache"])
async def test_who_wants_an_answer_of_his_own_gets_it(value: bytes) -> None:
    together = Together()
    await together.ask(chatting())
    own = chatting()
    own.directives = parse([(b"cache-control", value)])
    await together.ask(own)
    assert len(together.bodies) == 2
    assert own.outcome is Outcome.BYPASS


async def test_different_calls_do_not_share() -> None:
    together = Together()
    await together.ask(chatting())
    await together.ask(chatting(fingerprint=b"g" * 32))
    assert len(together.bodies) == 2
    assert together.stage.in_flight() == 2


async def test_a_follower_records_nothing() -> None:
    together = Together()
    leader, follower = chatting(), chatting()
    taps = [Watching(), Watching()]
    leader.watchers.append(lambda response: taps[0])
    follower.watchers.append(lambda response: taps[1])
    responses = [await together.ask(leader), await together.ask(follower)]
    together.bodies[0].feed(*WHOLE)
    together.bodies[0].end()
    await asyncio.gather(*map(consumed, responses))
    assert taps[0].endings == [Ending.COMPLETE]
    assert taps[1].endings == []


async def test_past_the_limit_of_followers_a_call_makes_its_own() -> None:
    together = Together(collapse={"max_followers": 2})
    called = [chatting() for _ in range(4)]
    responses = [await together.ask(each) for each in called]
    assert len(together.bodies) == 2
    assert [each.outcome for each in called] == [Outcome.BYPASS, Outcome.COLLAPSED, Outcome.COLLAPSED, Outcome.BYPASS]
    for body in together.bodies:
        body.end()
    await asyncio.gather(*map(consumed, responses))
    assert together.stage.in_flight() == 0


async def test_a_flight_that_can_no_longer_be_joined_is_left_alone() -> None:
    together = Together(limits={"max_answer_bytes": 1024})
    first = await together.ask(chatting())
    together.bodies[0].feed(b": " + b"x" * 2000 + b"\n\n")
    await turns()
    late = chatting()
    second = await together.ask(late)
    assert len(together.bodies) == 2
    assert late.outcome is Outcome.BYPASS
    together.bodies[0].end()
    await consumed(first)
    assert together.stage.in_flight() == 1  # the end of the first did not take the second's place
    together.bodies[1].end()
    await consumed(second)
    assert together.stage.in_flight() == 0


async def test_the_leader_may_leave_and_its_call_is_still_paid_for_and_complete() -> None:
    together = Together()
    leader, follower = chatting(), chatting()
    tap = Watching()
    leader.watchers.append(lambda response: tap)
    led, followed = await together.ask(leader), await together.ask(follower)
    together.bodies[0].feed(FIRST)
    await consumed(led, limit=1)
    together.bodies[0].feed(SECOND, USAGE, DONE)
    together.bodies[0].end()
    assert await consumed(followed) == b"".join(WHOLE)
    assert tap.endings == [Ending.COMPLETE]
    assert leader.call is not None
    assert leader.call.complete
    assert leader.call.usage is not None


async def test_the_last_one_to_leave_cancels_the_call() -> None:
    together = Together()
    responses = [await together.ask(chatting()) for _ in range(2)]
    together.bodies[0].feed(FIRST, SECOND)
    for response in responses:
        await consumed(response, limit=1)
    await turns()
    assert together.bodies[0].closed == 1
    assert together.stage.in_flight() == 0


async def test_a_failure_reaches_leader_and_follower_and_is_not_repeated() -> None:
    together, begun = Together(), asyncio.Event()
    origin = Origin(UpstreamError("connection_refused", "no", sent=False))

    async def slow(called: Exchange) -> Response:
        await begun.wait()
        return await origin(called)

    called = [chatting(), chatting()]
    asking = [asyncio.ensure_future(calling(together.stage, Observe(TaskSet()), end=slow)(each)) for each in called]
    await turns()
    begun.set()
    failures = await asyncio.gather(*asking, return_exceptions=True)
    assert [type(failure) for failure in failures] == [UpstreamError, UpstreamError]
    assert len(origin.asked) == 1
    assert together.stage.in_flight() == 0
    assert called[1].call is called[0].call
    assert called[0].call is not None
    assert called[0].call.ended


class OnePeer:
    """Another worker. It answers, or leaves the call to this one, when the test says so."""

    def __init__(self) -> None:
        self.answer: asyncio.Future[Response | None] = asyncio.get_running_loop().create_future()
        self.landings: list[Flight] = []

    async def join(self, flight: Flight) -> Response | None:
        return await asyncio.shield(self.answer)

    def landed(self, flight: Flight) -> None:
        self.landings.append(flight)


async def test_a_call_that_a_peer_makes_is_followed_by_all() -> None:
    peer = OnePeer()
    together = Together(peer)
    called = [chatting() for _ in range(3)]
    asking = [asyncio.ensure_future(together.ask(each)) for each in called]
    await turns()
    peer.answer.set_result(answer(Pieces(FIRST, DONE), headers=SSE))
    responses = await asyncio.gather(*asking)
    assert await asyncio.gather(*map(consumed, responses)) == [FIRST + DONE] * 3
    assert {each.outcome for each in called} == {Outcome.COLLAPSED}
    assert together.bodies == []
    assert len(peer.landings) == 1


async def test_a_call_that_no_peer_makes_is_made_here() -> None:
    peer = OnePeer()
    together = Together(peer)
    peer.answer.set_result(None)
    called = [chatting() for _ in range(3)]
    responses = await asyncio.gather(*map(together.ask, called))
    together.bodies[0].feed(*WHOLE)
    together.bodies[0].end()
    assert await asyncio.gather(*map(consumed, responses)) == [b"".join(WHOLE)] * 3
    assert [each.outcome for each in called] == [Outcome.BYPASS, Outcome.COLLAPSED, Outcome.COLLAPSED]


async def test_of_several_kinds_of_peers_the_next_is_asked_where_the_nearer_one_makes_no_call() -> None:
    near, far = OnePeer(), OnePeer()
    together = Together(PeersInTurn(near, far))
    called = chatting()
    near.answer.set_result(None)
    far.answer.set_result(answer(Pieces(FIRST, DONE), headers=SSE))
    assert await consumed(await together.ask(called)) == FIRST + DONE
    assert called.outcome is Outcome.COLLAPSED
    assert (len(near.landings), len(far.landings)) == (1, 1)


async def test_a_call_that_a_near_peer_makes_is_not_asked_of_the_far_ones() -> None:
    near, far = OnePeer(), OnePeer()
    near.answer.set_result(answer(Pieces(FIRST, DONE), headers=SSE))
    assert await consumed(await Together(PeersInTurn(near, far)).ask(chatting())) == FIRST + DONE
    assert not far.answer.done()


async def test_a_call_that_no_kind_of_peer_makes_is_made_here() -> None:
    peers = [OnePeer(), OnePeer()]
    for peer in peers:
        peer.answer.set_result(None)
    together = Together(PeersInTurn(*peers))
    await together.ask(chatting())
    assert len(together.bodies) == 1


async def test_what_the_peers_have_stored_meanwhile_is_a_hit_for_all() -> None:
    peer = OnePeer()

    async def stored(found: Exchange) -> Response:  # as cache_again does
        found.outcome, found.cache_status, found.age_s = Outcome.HIT, "hit; ttl=5", 3
        found.stored_usage, found.stored_cost_nanousd = Usage(input_tokens=1), 7
        return answer(b"stored")

    together = Together(peer)
    called = [chatting() for _ in range(2)]
    asking = [asyncio.ensure_future(calling(together.stage, end=stored)(each)) for each in called]
    await turns()
    peer.answer.set_result(None)
    assert [each.body for each in await asyncio.gather(*asking)] == [b"stored"] * 2
    assert together.bodies == []
    for each in called:
        assert (each.outcome, each.cache_status, each.age_s) == (Outcome.HIT, "hit; ttl=5", 3)
        assert (each.stored_usage, each.stored_cost_nanousd) == (Usage(input_tokens=1), 7)


async def test_a_call_that_all_have_left_meanwhile_is_not_made() -> None:
    peer = OnePeer()
    together = Together(peer)
    asking = asyncio.ensure_future(together.ask(chatting()))
    await turns()
    asking.cancel()
    await turns()
    peer.answer.set_result(None)
    await until(lambda: len(peer.landings) == 1, "the flight is over")
    assert together.bodies == []
    assert together.stage.in_flight() == 0


async def test_a_long_stream_is_replayed_late_readers_included_and_stored_whole() -> None:
    """Longer than what is kept unpacked: late readers and the cache get it from the flight's history."""
    together, store, tasks = Together(), MemoryStore(1 << 20), TaskSet()
    cache = CacheStage(store, settings(), tasks, cost, no_renewals())
    middle = [b'data: {"choices":[{"delta":{"content":"%d"}}]}\n\n' % number for number in range(1_000)]
    whole = [FIRST, *middle, SECOND, USAGE, DONE]

    async def ask(called: Exchange) -> Response:
        chain = calling(cache, together.stage, Observe(TaskSet()), end=together.origin)
        return await chain(called)

    first = asyncio.ensure_future(_read(ask, chatting()))
    await until(lambda: together.bodies != [], what="the call")
    for piece in whole[:800]:
        together.bodies[0].feed(piece)
    await turns(2_000)
    late = asyncio.ensure_future(_read(ask, chatting()))
    await turns()
    for piece in whole[800:]:
        together.bodies[0].feed(piece)
    together.bodies[0].end()
    assert await first == await late == b"".join(whole)
    await tasks.wait(5)
    called = chatting()
    assert (await ask(called)).body == b"".join(whole)
    assert called.outcome is Outcome.HIT
    assert len(together.bodies) == 1


async def _read(ask: Callable[[Exchange], Awaitable[Response]], called: Exchange) -> bytes:
    return await consumed(await ask(called))
