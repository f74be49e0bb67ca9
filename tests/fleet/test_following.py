"""A follower takes what comes, in whatever way it comes, and knows when nothing more will. Redis is scripted."""

import asyncio
import time
from collections.abc import Sequence

import pytest

from proxy.exchange.errors import UpstreamError
from proxy.exchange.frames import Kind, at, end, failed, frame, head
from proxy.exchange.model import Exchange, Response, UpstreamCall
from proxy.exchange.usage import Usage
from proxy.fleet.claims import Claim, Names
from proxy.fleet.connection import Argument, Reply
from proxy.fleet.errors import RedisUnavailableError
from proxy.fleet.following import Following
from proxy.fleet.link import Script
from proxy.fleet.sight import Sight
from proxy.fleet.trail import Trail
from tests.support.exchanges import SSE, exchange
from tests.support.waiting import until

LEADER = Claim("0123456789abcdef", 1, 0)
CALL = UpstreamCall(started_at=0.0, status=200, complete=True, usage=Usage(input_tokens=3))
LEASE_S = 0.4
LIMIT = 100


class Stream:
    """What a leader leaves in Redis; answers looks."""

    def __init__(self) -> None:
        self.entries: list[tuple[bytes, bytes]] = []
        self.is_held = True
        self.is_away = False
        self.looks = 0

    async def run(
        self, _script: Script, _keys: Sequence[bytes], arguments: Sequence[Argument], deadline_s: float | None = None
    ) -> Reply:
        self.looks += 1
        await asyncio.sleep(0)
        if self.is_away:
            raise RedisUnavailableError("timeout")
        start, count = arguments
        assert isinstance(start, bytes)
        assert isinstance(count, int)
        after = b"" if start == b"-" else start[1:]
        found: list[Reply] = [[id_, [b"m", message]] for id_, message in self.entries if id_ > after]
        return [bytes(LEADER) if self.is_held else b"", found[:count]]


class Followed:
    """A flight that is followed. `is_heard`: messages reach the channel."""

    def __init__(self) -> None:
        self.stream = Stream()
        self.is_heard = True
        self.ends = 0
        self.exchange: Exchange = exchange()
        self._position = 0
        self._serial = 0
        names = Names.of("p", b"k", LEADER)
        trail = Trail(self.stream, names, LEADER, LEASE_S)  # type: ignore[arg-type]
        self.following = Following(trail, Sight(LEASE_S, time.monotonic()), bytes, LIMIT, self._ended)

    def _ended(self) -> None:
        self.ends += 1

    def says(self, *frames: bytes, is_kept: bool = True, is_heard: bool | None = None) -> None:
        """A message of the leader's."""
        message = at(self._position) + b"".join(frames)
        self._position += sum(len(each) - 5 for each in frames if each[4] == Kind.CHUNK)
        id_ = b""
        if is_kept:
            self._serial += 1
            id_ = b"%06d-0" % self._serial
            self.stream.entries.append((id_, message))
        if self.is_heard if is_heard is None else is_heard:
            self.following.hear(id_ + b"\n" + message)

    def sends(self, piece: bytes, *, is_heard: bool | None = None) -> None:
        self.says(frame(Kind.CHUNK, piece), is_heard=is_heard)

    def begins(self, body: bytes | None = None) -> None:
        self.says(head(Response(200, list(SSE), body if body is not None else self.following), CALL, time.monotonic()))

    def is_over(self) -> None:
        self.says(end(CALL, time.monotonic()))

    async def answer(self) -> Response | None:
        return await self.following.answer(self.exchange)

    async def read_all(self) -> bytes:
        pieces = []
        while (piece := await self.following.read()) is not None:
            pieces.append(piece)
        return b"".join(pieces)


@pytest.fixture
async def followed() -> Followed:
    return Followed()


async def test_what_comes_on_the_channel_is_handed_on(followed: Followed) -> None:
    asking = asyncio.ensure_future(followed.answer())
    await asyncio.sleep(0)
    followed.begins()
    assert (await asking) is not None
    followed.sends(b"one")
    assert await followed.following.read() == b"one"
    followed.sends(b"two")
    followed.is_over()
    assert await followed.read_all() == b"two"
    call = followed.exchange.call
    assert call is not None
    assert call.ended
    assert call.usage == CALL.usage
    assert followed.ends == 1


async def test_what_the_channel_lost_is_read_from_the_stream(followed: Followed) -> None:
    followed.begins()
    await followed.answer()
    followed.sends(b"one")
    followed.sends(b"two", is_heard=False)
    followed.sends(b"three")
    followed.is_over()
    assert await followed.read_all() == b"onetwothree"


async def test_without_the_channel_everything_is_read_from_the_stream(followed: Followed) -> None:
    followed.is_heard = False
    followed.begins()
    for number in range(100):
        followed.sends(b"%02d" % number)
    followed.is_over()
    await followed.answer()
    assert await followed.read_all() == b"".join(b"%02d" % number for number in range(100))


async def test_the_end_that_was_missed_is_noticed_by_the_next_sign_of_life(followed: Followed) -> None:
    followed.begins()
    await followed.answer()
    followed.sends(b"one", is_heard=False)
    followed.says(end(CALL), is_heard=False)
    followed.says(frame(Kind.WAITING), is_kept=False)
    looks = followed.stream.looks
    assert await followed.read_all() == b"one"
    assert followed.stream.looks == looks + 1


async def test_what_comes_twice_is_taken_once(followed: Followed) -> None:
    followed.begins()
    await followed.answer()
    followed.sends(b"one")
    followed.sends(b"two")
    for id_, message in followed.stream.entries:
        followed.following.hear(id_ + b"\n" + message)
    followed.following.hear(b"9\n" + at(4) + frame(Kind.CHUNK, b"wo"))
    followed.following.hear(b"9\n" + at(4) + frame(Kind.CHUNK, b"wo!"))
    followed.following.hear(b"9\n" + at(7) + end(None))
    assert await followed.read_all() == b"onetwo!"


async def test_no_more_is_held_than_the_limit_and_what_was_left_out_is_read_later(followed: Followed) -> None:
    followed.begins()
    await followed.answer()
    pieces = [b"%03d" % number * 10 for number in range(50)]
    for piece in pieces:
        followed.sends(piece)
    followed.is_over()
    assert followed.following._held <= LIMIT + len(pieces[0])
    assert await followed.read_all() == b"".join(pieces)


async def test_an_answer_in_one_piece_is_handed_on_whole(followed: Followed) -> None:
    followed.begins(b"whole")
    followed.sends(b"who")
    followed.sends(b"le")
    followed.is_over()
    response = await followed.answer()
    assert response is not None
    assert response.body == b"whole"
    assert followed.exchange.call is not None
    assert followed.exchange.call.ended


async def test_an_answer_in_one_piece_that_stops_coming_is_no_answer(followed: Followed) -> None:
    followed.begins(b"whole")
    followed.sends(b"who")
    followed.stream.is_held = False
    assert await followed.answer() is None
    assert followed.exchange.call is None
    assert followed.ends == 1


async def test_an_answer_in_one_piece_that_fails_midway_is_no_answer(followed: Followed) -> None:
    followed.begins(b"whole")
    followed.sends(b"who")
    followed.says(failed(UpstreamError("reader_too_slow", "slow"), CALL))
    assert await followed.answer() is None


async def test_a_stream_that_lost_its_head_is_no_answer(followed: Followed) -> None:
    followed.begins()
    followed.sends(b"one")
    del followed.stream.entries[0]
    followed.following = Followed().following  # which has heard nothing
    followed.following._trail._link = followed.stream  # type: ignore[assignment]
    assert await followed.following.answer(followed.exchange) is None


async def test_an_end_without_a_head_is_no_answer(followed: Followed) -> None:
    followed.is_over()
    assert await followed.answer() is None


async def test_a_stream_that_has_let_go_what_is_missing_breaks_off(followed: Followed) -> None:
    followed.begins()
    await followed.answer()
    followed.sends(b"one", is_heard=False)
    followed.sends(b"two", is_heard=False)
    del followed.stream.entries[:2]
    followed.sends(b"three")
    with pytest.raises(UpstreamError) as raised:
        await followed.read_all()
    assert raised.value.code == "connection_terminated"


async def test_a_stream_that_was_begun_again_is_read_from_its_first_message(followed: Followed) -> None:
    followed.begins()
    await followed.answer()
    followed.sends(b"one")
    assert await followed.following.read() == b"one"
    followed.sends(b"two", is_heard=False)
    followed.sends(b"three", is_heard=False)
    entries = followed.stream.entries
    # Of a server whose clock is behind: its ids are below those that were read.
    followed.stream.entries = [(b"00000%d-0" % number, message) for number, (_, message) in enumerate(entries)]
    followed.is_over()
    assert await followed.read_all() == b"twothree"


@pytest.mark.parametrize("garbage", [b"", b"no frames", b"1-0\n", b"1-0\n\0", b"\n" + frame(Kind.AT, b"")])
async def test_messages_that_are_not_understood_are_looked_up_in_the_stream(followed: Followed, garbage: bytes) -> None:
    followed.begins()
    await followed.answer()
    followed.following.hear(garbage)
    followed.sends(b"one", is_heard=False)
    followed.is_over()
    assert await followed.read_all() == b"one"


async def test_a_failure_reaches_the_reader_after_what_had_come(followed: Followed) -> None:
    followed.begins()
    await followed.answer()
    followed.sends(b"one")
    followed.says(failed(UpstreamError("http_response_incomplete", "broken off"), CALL))
    assert await followed.following.read() == b"one"
    with pytest.raises(UpstreamError) as raised:
        await followed.following.read()
    assert raised.value.code == "http_response_incomplete"


async def test_a_leader_that_refuses_is_not_waited_for(followed: Followed) -> None:
    asking = asyncio.ensure_future(followed.answer())
    await asyncio.sleep(0)
    followed.following.refuse()
    assert await asking is None


async def test_what_stands_in_the_stream_is_read_although_its_leader_is_gone(followed: Followed) -> None:
    followed.begins()
    await followed.answer()
    for number in range(40):
        followed.sends(b"%d" % (number % 10), is_heard=False)
    followed.says(end(CALL), is_heard=False)
    followed.following.disturbed()
    followed.following.refuse()
    assert await followed.read_all() == b"0123456789" * 4


async def test_a_redis_that_is_away_is_waited_for(followed: Followed) -> None:
    followed.begins()
    await followed.answer()
    followed.stream.is_away = True
    reading = asyncio.ensure_future(followed.read_all())
    looks = followed.stream.looks
    await until(lambda: followed.stream.looks > looks + 2, "it has looked in vain")
    followed.stream.is_away = False
    followed.sends(b"one", is_heard=False)
    followed.says(end(CALL), is_heard=False)
    assert await reading == b"one"


async def test_who_leaves_in_mid_stream_leaves_once(followed: Followed) -> None:
    followed.begins()
    await followed.answer()
    await followed.following.aclose()
    await followed.following.aclose()
    assert await followed.following.read() is None
    assert followed.ends == 1
    assert followed.exchange.call is not None
    assert followed.exchange.call.ended
