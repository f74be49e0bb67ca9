"""The loop that moves a body: it sends first, shows then, and tells every tap once how it ended."""

import asyncio

import pytest

from proxy.exchange.errors import UpstreamError
from proxy.exchange.forward import forward, show_end
from proxy.exchange.model import Ending, Tap
from tests.support.exchanges import Fed, Pieces, Watching, turns


class Sink:
    """Takes everything; is full after the pieces it is told to."""

    def __init__(self, *full_after: bytes) -> None:
        self.taken: list[bytes] = []
        self.room = asyncio.Event()
        self.drains = 0
        self._full_after = full_after

    def write(self, chunk: bytes) -> bool:
        self.taken.append(chunk)
        return chunk not in self._full_after

    async def drain(self) -> None:
        self.drains += 1
        await self.room.wait()


class Broken(Watching):
    """A tap that raises at its second piece."""

    def feed(self, chunk: bytes) -> None:
        super().feed(chunk)
        if len(self.seen) == 2:
            raise ValueError


class BrokenEnd(Watching):
    def end(self, ending: Ending) -> None:
        super().end(ending)
        raise ValueError


async def test_every_byte_goes_to_the_client_and_to_the_taps_in_order() -> None:
    body, sink, tap = Pieces(b"a", b"b", b"c"), Sink(), Watching()
    await forward(body, [tap], sink)
    assert sink.taken == tap.seen == [b"a", b"b", b"c"]
    assert tap.endings == [Ending.COMPLETE]
    assert body.closed == 1


async def test_without_taps_it_only_moves() -> None:
    sink = Sink()
    await forward(Pieces(b"a"), [], sink)
    assert sink.taken == [b"a"]


async def test_a_full_sink_is_waited_for_before_the_next_piece() -> None:
    body, sink, tap = Fed(), Sink(b"a"), Watching()
    body.feed(b"a", b"b")
    body.end()
    moving = asyncio.ensure_future(forward(body, [tap], sink))
    await turns()
    assert sink.taken == [b"a"]
    assert tap.seen == [b"a"]  # it was sent, so it is shown
    sink.room.set()
    await moving
    assert sink.taken == [b"a", b"b"]


async def test_a_tap_that_raises_is_dropped_and_told_so_and_the_body_goes_on() -> None:
    sink, broken, sound = Sink(), Broken(), Watching()
    taps: list[Tap] = [broken, sound]
    await forward(Pieces(b"a", b"b", b"c"), taps, sink)
    assert sink.taken == sound.seen == [b"a", b"b", b"c"]
    assert broken.seen == [b"a", b"b"]
    assert broken.endings == [Ending.ABANDONED]
    assert sound.endings == [Ending.COMPLETE]


async def test_a_tap_that_raises_at_the_end_harms_no_other() -> None:
    first, second = BrokenEnd(), Watching()
    await forward(Pieces(b"a"), [first, second], Sink())
    assert first.endings == second.endings == [Ending.COMPLETE]


async def test_a_broken_body_is_told_as_truncated_and_raised() -> None:
    body, tap = Pieces(b"a", UpstreamError("http_response_incomplete", "cut")), Watching()
    with pytest.raises(UpstreamError):
        await forward(body, [tap], Sink())
    assert tap.endings == [Ending.TRUNCATED]
    assert body.closed == 1


async def test_a_client_that_is_gone_abandons_the_body() -> None:
    body, tap = Fed(), Watching()
    moving = asyncio.ensure_future(forward(body, [tap], Sink()))
    await turns()
    moving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await moving
    assert tap.endings == [Ending.ABANDONED]
    assert body.closed == 1


def test_no_tap_hears_the_end_twice() -> None:
    tap = Watching()
    taps: list[Tap] = [tap]
    show_end(taps, Ending.COMPLETE)
    show_end(taps, Ending.ABANDONED)
    assert tap.endings == [Ending.COMPLETE]
