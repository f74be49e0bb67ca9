"""One upstream call shared by several exchanges, streams included."""

import asyncio

import pytest

from proxy.exchange.errors import ExchangeError, Refusal, UpstreamError
from proxy.exchange.flight import Flight
from proxy.exchange.model import Body, Ending, Exchange, Response, UpstreamCall
from proxy.tasks import TaskSet
from tests.support.exchanges import SSE, Fed, Pieces, Watching, answer, exchange, read_all, turns

BROKEN = UpstreamError("http_response_incomplete", "broken off")


class Course:
    """A flight with a fed body, and what was seen of it."""

    def __init__(self, *, keep: int = 1000, lag: int = 100, body: Body | bytes | None = None) -> None:
        self.tasks = TaskSet()
        self.fed = Fed()
        self.body: Body | bytes = self.fed if body is None else body
        self.tap = Watching()
        self.ended = 0
        self.head = asyncio.Event()
        self.flight = Flight(exchange(), keep_bytes=keep, lag_bytes=lag)

    def start(self, *, at_once: bool = True) -> "Course":
        if at_once:
            self.head.set()
        self.flight.start(self.tasks, self._handle, self._end)
        return self

    async def _handle(self, called: Exchange) -> Response:
        called.call = UpstreamCall(started_at=1.0)
        await self.head.wait()
        response = answer(self.body, headers=SSE)
        response.taps = [self.tap]
        return response

    def _end(self) -> None:
        self.ended += 1

    async def joined(self) -> Body:
        response = await self.flight.join()
        assert not isinstance(response.body, bytes)
        return response.body

    async def joined_by(self, count: int) -> list[Body]:
        return [await self.joined() for _ in range(count)]


async def test_every_reader_gets_every_chunk() -> None:
    course = Course().start()
    readers = await course.joined_by(3)
    course.fed.feed(b"a", b"b", b"c")
    course.fed.end()
    assert await asyncio.gather(*map(read_all, readers)) == [b"abc"] * 3
    assert course.tap.seen == [b"a", b"b", b"c"]
    assert course.tap.endings == [Ending.COMPLETE]
    assert course.fed.closed == 1
    assert course.ended == 1


async def test_who_joins_late_gets_the_prefix_and_then_what_comes() -> None:
    course = Course().start()
    first = await course.joined()
    course.fed.feed(b"a", b"b")
    assert await first.read() == b"a"
    late = await course.joined()
    assert [await late.read(), await late.read()] == [b"a", b"b"]
    course.fed.feed(b"c")
    course.fed.end()
    assert await read_all(late) == b"c"
    assert await read_all(first) == b"bc"


async def test_each_reader_has_headers_of_its_own() -> None:
    course = Course().start()
    one, other = await course.flight.join(), await course.flight.join()
    one.headers.append((b"x", b"1"))
    assert other.headers == SSE
    assert one.status == 200
    course.fed.end()
    await turns()


async def test_an_answer_in_one_piece_goes_to_all() -> None:
    course = Course(body=b"whole").start(at_once=False)
    joining = [asyncio.ensure_future(course.flight.join()) for _ in range(3)]
    await turns()
    course.head.set()
    assert [response.body for response in await asyncio.gather(*joining)] == [b"whole"] * 3
    assert not course.flight.joinable
    assert course.ended == 1


async def test_an_answer_that_is_there_at_once_is_not_lost_before_the_first_reader_comes() -> None:
    course = Course(keep=4, body=Pieces(b"aaa", b"bbb", b"ccc")).start()
    assert course.ended == 1
    assert await read_all(await course.joined()) == b"aaabbbccc"


async def test_the_call_is_known_to_the_readers() -> None:
    course = Course(body=b"x").start()
    assert course.flight.call is course.flight.exchange.call
    assert course.flight.call is not None


async def test_the_first_reader_may_leave_and_the_others_go_on() -> None:
    course = Course().start()
    leader, follower = await course.joined_by(2)
    course.fed.feed(b"a")
    assert await leader.read() == b"a"
    await leader.aclose()
    course.fed.feed(b"b")
    course.fed.end()
    assert await read_all(follower) == b"ab"
    assert course.tap.endings == [Ending.COMPLETE]


async def test_the_last_reader_ends_the_call() -> None:
    course = Course().start()
    one, other = await course.joined_by(2)
    await one.aclose()
    await one.aclose()
    await turns()
    assert course.fed.closed == 0
    await other.aclose()
    await turns()
    assert course.fed.closed == 1
    assert course.tap.endings == [Ending.ABANDONED]
    assert not course.flight.joinable
    assert len(course.tasks) == 0


async def test_a_call_whose_head_has_not_come_outlives_its_readers_and_may_be_joined() -> None:
    """It cannot be taken back: the SDK that timed out and asks again finds it."""
    course = Course(body=b"x").start(at_once=False)
    waiting = asyncio.ensure_future(course.flight.join())
    await turns()
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert course.flight.joinable
    again = asyncio.ensure_future(course.flight.join())
    await turns()
    course.head.set()
    assert (await again).body == b"x"
    assert course.ended == 1


async def test_a_stream_that_nobody_waits_for_any_more_ends_at_its_head() -> None:
    course = Course().start(at_once=False)
    waiting = asyncio.ensure_future(course.flight.join())
    await turns()
    waiting.cancel()
    await turns()
    course.head.set()
    await turns()
    assert course.fed.closed == 1
    assert course.tap.endings == [Ending.ABANDONED]
    assert course.ended == 1
    assert len(course.tasks) == 0


async def test_who_stops_waiting_for_the_head_does_not_stop_the_others() -> None:
    course = Course(body=b"x").start(at_once=False)
    one, other = (asyncio.ensure_future(course.flight.join()) for _ in range(2))
    await turns()
    one.cancel()
    await turns()
    course.head.set()
    assert (await other).body == b"x"


@pytest.mark.parametrize(
    ("failure", "kind", "code"),
    [
        (UpstreamError("connection_refused", "no", status=502, sent=False), UpstreamError, "connection_refused"),
        (Refusal("budget", "no", status=429), Refusal, "budget"),
        (ExchangeError("other", "no", status=500), ExchangeError, "other"),
        (RuntimeError("sk-secret"), ExchangeError, "internal_error"),
    ],
)
async def test_a_failure_before_the_head_reaches_each_once(failure: Exception, kind: type, code: str) -> None:
    course = Course()

    async def fails(called: Exchange) -> Response:
        await turns(1)
        raise failure

    course.flight.start(course.tasks, fails, course._end)
    got = await asyncio.gather(*(course.flight.join() for _ in range(3)), return_exceptions=True)
    assert [type(each) for each in got] == [kind] * 3
    assert [each.code for each in got if isinstance(each, ExchangeError)] == [code] * 3
    assert len({id(each) for each in got}) == 3
    assert "sk-secret" not in str(got)
    if isinstance(failure, UpstreamError):
        assert [each.sent for each in got if isinstance(each, UpstreamError)] == [False] * 3


async def test_a_failure_after_the_head_comes_after_all_that_was_received() -> None:
    course = Course().start()
    readers = await course.joined_by(2)
    course.fed.feed(b"a", b"b")
    course.fed.fail(BROKEN)
    await turns()
    for reader in readers:
        assert [await reader.read(), await reader.read()] == [b"a", b"b"]
        with pytest.raises(UpstreamError) as raised:
            await reader.read()
        assert raised.value.code == BROKEN.code
        assert raised.value is not BROKEN
    assert course.tap.endings == [Ending.TRUNCATED]
    assert course.fed.closed == 1


async def test_it_can_be_joined_until_the_keep_limit_and_no_longer() -> None:
    course = Course(keep=10).start()
    reader = await course.joined()
    joinable = []
    for piece in (b"a" * 10, b"b"):
        course.fed.feed(piece)
        await turns()
        joinable.append(course.flight.joinable)
    assert joinable == [True, False]
    course.fed.end()
    assert await read_all(reader) == b"a" * 10 + b"b"


async def test_past_the_keep_limit_only_what_is_needed_is_kept() -> None:
    course = Course(keep=10, lag=8).start()
    fast, slow = await course.joined_by(2)
    for _ in range(50):
        course.fed.feed(b"xxxx")
        assert await fast.read() == b"xxxx"
        assert await slow.read() == b"xxxx"
        await turns(2)
    assert course.flight.kept_bytes <= 10 + 8
    course.fed.end()
    assert await read_all(fast) == await read_all(slow) == b""


async def test_a_slow_reader_slows_nobody_and_is_cut_off_past_the_limit() -> None:
    course = Course(keep=10, lag=20).start()
    fast, slow = await course.joined_by(2)
    assert course.flight.readers == 2
    got = b""
    for _ in range(20):
        course.fed.feed(b"xxxx")
        got += await fast.read() or b""
    assert len(got) == 80
    with pytest.raises(UpstreamError) as raised:
        await slow.read()
    assert raised.value.code == "reader_too_slow"
    await slow.aclose()
    assert course.flight.readers == 1
    course.fed.end()
    assert await read_all(fast) == b""
    assert course.tap.endings == [Ending.COMPLETE]


async def test_who_waits_for_a_chunk_is_never_the_slow_one() -> None:
    course = Course(keep=2, lag=2).start()
    readers = await course.joined_by(2)
    waiting = [asyncio.ensure_future(reader.read()) for reader in readers]
    await turns()
    course.fed.feed(b"x" * 50)
    assert await asyncio.gather(*waiting) == [b"x" * 50] * 2
    course.fed.end()
    assert [await reader.read() for reader in readers] == [None, None]


async def test_a_single_slow_reader_is_never_cut_off_and_slows_the_origin_instead() -> None:
    course = Course(keep=10, lag=20, body=Pieces(*[b"xxxx"] * 100)).start()
    reader = await course.joined()
    await turns(30)
    assert course.flight.kept_bytes <= 4 * (100)
    assert len(await read_all(reader)) == 400
    assert course.tap.endings == [Ending.COMPLETE]


async def test_the_origin_waits_for_the_fastest_reader() -> None:
    course = Course(keep=10, lag=20).start()
    reader = await course.joined()
    course.fed.feed(*[b"xxxx"] * 100)
    await turns(200)
    assert course.flight.kept_bytes <= 10 + 20 + 4
    course.fed.end()
    assert len(await read_all(reader)) == 400


async def test_when_the_fastest_leaves_the_next_sets_the_pace() -> None:
    course = Course(keep=4, lag=8).start()
    fast, slow = await course.joined_by(2)
    course.fed.feed(*[b"xx"] * 30)
    for _ in range(4):
        await fast.read()
    await turns(50)
    await fast.aclose()
    course.fed.end()
    assert len(await read_all(slow)) == 60


async def test_who_joined_late_may_be_as_far_behind_as_it_was_then() -> None:
    course = Course(keep=100, lag=10).start()
    first = await course.joined()
    course.fed.feed(*[b"x" * 10] * 10)
    for _ in range(10):
        await first.read()
    late = await course.joined()
    course.fed.feed(b"y")
    assert await first.read() == b"y"
    await turns()
    assert not course.flight.joinable
    course.fed.end()
    assert await read_all(late) == b"x" * 100 + b"y"


async def test_a_tap_that_fails_harms_no_reader() -> None:
    course = Course()

    class Bad(Watching):
        def feed(self, chunk: bytes) -> None:
            raise ValueError

    course.tap = Bad()
    course.start()
    reader = await course.joined()
    course.fed.feed(b"a")
    course.fed.end()
    assert await read_all(reader) == b"a"
    assert course.tap.endings == [Ending.ABANDONED]


async def test_giving_the_whole_set_of_tasks_up_fails_every_reader() -> None:
    course = Course().start()
    readers = await course.joined_by(2)
    await course.tasks.cancel()
    for reader in readers:
        with pytest.raises(UpstreamError) as raised:
            await reader.read()
        assert raised.value.code == "connection_terminated"
    assert course.fed.closed == 1


async def test_a_flight_can_be_replayed_as_long_as_nothing_of_it_was_let_go() -> None:
    fed = Fed()
    course = Course(keep=10, body=fed).start()
    await course.joined()
    assert course.flight.is_replayable
    fed.feed(b"0123456789")
    await turns()
    assert course.flight.is_replayable
    fed.feed(b"0")
    await turns()
    assert not course.flight.is_replayable
