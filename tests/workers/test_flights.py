"""Identical calls that come to different workers: one of them makes the call, the others follow it."""

import asyncio
import stat
import time
from pathlib import Path

import pytest
import structlog

from proxy.exchange.errors import UpstreamError
from proxy.exchange.model import Exchange, Response
from proxy.exchange.record import Outcome
from tests.addons.streams import FIRST, WHOLE, chatting, consumed
from tests.support.exchanges import CHAT_ANSWER, answer, calling, settings
from tests.support.waiting import until
from tests.workers.neighbours import Worker, neighbours


async def led(worker: Worker, *, called: Exchange | None = None) -> tuple[Exchange, Response]:
    """A stream that this worker leads."""
    leader = called or chatting()
    return leader, await worker.ask(leader)


async def test_when_the_leader_dies_before_the_head_the_follower_makes_the_call(tmp_path: Path) -> None:
    async with neighbours(tmp_path, 3) as three:
        first, second, third = three.workers

        async def never(_called: Exchange) -> Response:
            return await asyncio.get_running_loop().create_future()

        first.origin = never  # type: ignore[method-assign]
        leading = asyncio.ensure_future(first.ask(chatting()))
        following = [asyncio.ensure_future(worker.ask(chatting())) for worker in (second, third, second, third)]
        await until(lambda: first.readers() == 3, "both follow")
        await first.peers.stop(0)
        responses = await asyncio.gather(*following)
        assert three.upstream_calls == 1  # one more for all of them
        (body,) = second.bodies + third.bodies
        body.feed(*WHOLE)
        body.end()
        assert await asyncio.gather(*map(consumed, responses)) == [b"".join(WHOLE)] * 4
        leading.cancel()
        await asyncio.wait([leading])


async def test_when_the_leader_dies_in_mid_stream_the_followers_streams_break_off(tmp_path: Path) -> None:
    async with neighbours(tmp_path) as both:
        first, second = both.workers
        await led(first)
        follower, following = await led(second)
        first.bodies[0].feed(FIRST)
        assert not isinstance(following.body, bytes)
        assert await following.body.read() == FIRST
        await first.peers.stop(0)
        with pytest.raises(UpstreamError) as raised:
            await consumed(following)
        assert raised.value.code == "connection_terminated"
        assert follower.call is not None
        assert follower.call.ended
        assert second.bodies == []


async def test_a_claim_that_was_left_behind_is_taken_over(tmp_path: Path) -> None:
    async with neighbours(tmp_path) as both:
        first, second = both.workers
        key = chatting().fingerprint
        assert key is not None
        await both.claims.claim(key, owner=999_999 << 16)  # a process that is gone, in the place of the first
        await second.ask(chatting())
        assert len(second.bodies) == 1
        await first.ask(chatting())
        assert both.upstream_calls == 1


async def test_what_a_peer_stored_after_the_cache_was_asked_is_a_hit(tmp_path: Path) -> None:
    async with neighbours(tmp_path) as both:
        first, second = both.workers
        first.answers.append(answer(CHAT_ANSWER))
        await first.ask(chatting(b"{}"))
        late = chatting(b"{}", wall_time=time.time(), outcome=Outcome.MISS)
        response = await calling(*second.below, end=second.origin)(late)
        assert response.body == CHAT_ANSWER
        assert late.outcome is Outcome.HIT
        assert late.call is None
        assert both.claims.held() == 0


async def test_a_slow_follower_is_cut_off_and_slows_nobody(tmp_path: Path) -> None:
    small = settings(limits={"max_answer_bytes": 1_000_000}, collapse={"max_lag_bytes": 100_000})
    async with neighbours(tmp_path, settings=small) as both:
        first, second = both.workers
        _, leading = await led(first)
        _, following = await led(second)
        piece = b"x" * 100_000
        for _ in range(40):
            first.bodies[0].feed(piece)
        first.bodies[0].end()
        assert len(await consumed(leading)) == 40 * len(piece)
        with pytest.raises(UpstreamError) as raised:
            await consumed(following)
        assert raised.value.code == "reader_too_slow"


async def test_sockets_are_for_their_user_alone_and_go_at_the_end(tmp_path: Path) -> None:
    async with neighbours(tmp_path):
        sockets = sorted(tmp_path.iterdir())
        assert [path.name for path in sockets] == ["flights.0", "flights.1"]
        assert {stat.S_IMODE(path.stat().st_mode) for path in sockets} == {0o600}
    assert list(tmp_path.iterdir()) == []


async def test_a_socket_that_a_killed_worker_left_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "flights.0").write_bytes(b"")
    async with neighbours(tmp_path) as both:
        first, second = both.workers
        await led(first)
        await led(second)
        assert both.upstream_calls == 1


async def test_without_a_claim_each_worker_makes_the_call_itself(tmp_path: Path) -> None:
    async with neighbours(tmp_path) as both:
        first, second = both.workers

        async def none(key: bytes, owner: int, instead_of: int = 0) -> int:
            return 0

        async def broken(key: bytes, owner: int, instead_of: int = 0) -> int:
            raise OSError("no locks available")

        for claim in (none, broken):
            both.claims.claim = claim  # type: ignore[method-assign]
            key = claim.__name__.encode().ljust(32)
            responses = [await worker.ask(chatting(fingerprint=key)) for worker in (first, second)]
            for worker in both.workers:
                worker.bodies[-1].feed(FIRST)
                worker.bodies[-1].end()
            assert await asyncio.gather(*map(consumed, responses)) == [FIRST] * 2
        assert both.upstream_calls == 4


async def test_leaders_that_refuse_one_after_another_are_not_asked_for_ever(tmp_path: Path) -> None:
    async with neighbours(tmp_path) as both:
        gone = iter(range(1, 100))

        async def another(key: bytes, owner: int, instead_of: int = 0) -> int:
            return (next(gone) << 16) + 1

        both.claims.claim = another  # type: ignore[method-assign]
        await both.workers[0].ask(chatting())
        assert both.upstream_calls == 1
        assert next(gone) < 10


async def test_a_leader_that_is_gone_is_one_line_for_all_of_its_flights(tmp_path: Path) -> None:
    with structlog.testing.capture_logs() as logs:
        async with neighbours(tmp_path) as both:
            for number in range(3):
                called = chatting()
                called.fingerprint = bytes([number]) * 32
                await both.claims.claim(called.fingerprint, owner=999_999 << 16)
                await both.workers[1].ask(called)
    assert [(line["event"], line["flights"]) for line in logs] == [("worker_leader_gone", 3)]
