"""What is noted of an upstream call: when, how much, and whether it was whole."""

import asyncio
import zlib

import pytest

from addons.observe import CallTap, Observe
from proxy.exchange.chain import Handler
from proxy.exchange.errors import UpstreamError
from proxy.exchange.history import History
from proxy.exchange.model import Ending, Exchange, Response, Tap, UpstreamCall
from proxy.exchange.provider import UNKNOWN
from proxy.exchange.usage import Usage
from proxy.tasks import TaskSet
from proxy.wire.coding import decoder, encode
from tests.addons.streams import DONE, FIRST, SECOND, USAGE, chatting, consumed
from tests.support.exchanges import (
    CHAT,
    CHAT_ANSWER,
    JSON,
    SSE,
    Origin,
    Pieces,
    Watching,
    answer,
    exchange,
    request,
    turns,
)


async def observed(called: Exchange, response: Response, limit: int | None = None) -> UpstreamCall:
    """The call, after its answer was read."""
    got = await Observe(TaskSet()).handle(called, Origin(response))
    await consumed(got, limit)
    assert called.call is not None
    return called.call


async def test_an_answer_in_one_piece_has_ended_when_it_arrives() -> None:
    called = chatting(CHAT)
    await Observe(TaskSet()).handle(called, Origin(answer()))
    call = called.call
    assert call is not None
    assert call.ended
    assert call.complete
    assert call.status == 200
    assert call.bytes_received == len(CHAT_ANSWER)
    assert call.usage is not None
    assert (call.usage.input_tokens, call.usage.output_tokens, call.usage.estimated) == (9, 2, False)
    assert call.first_byte_at is not None
    assert call.ended_at is not None
    assert call.started_at <= call.first_byte_at <= call.ended_at


async def test_a_stream_is_complete_with_the_providers_end() -> None:
    call = await observed(chatting(), answer(Pieces(FIRST, SECOND, USAGE, DONE), headers=SSE))
    assert call.complete
    assert call.usage is not None
    assert call.usage.output_tokens == 2


async def test_a_call_goes_on_until_its_body_has_ended() -> None:
    called = chatting()
    response = await Observe(TaskSet()).handle(called, Origin(answer(Pieces(FIRST, DONE), headers=SSE)))
    assert called.call is not None
    assert not called.call.ended
    await consumed(response)
    assert called.call.ended


@pytest.mark.parametrize("coding", ["gzip", "br", "zstd", "deflate"])
@pytest.mark.parametrize("streamed", [True, False])
async def test_a_coded_answer_is_read_through_its_coding(coding: str, streamed: bool) -> None:
    packed = encode(coding, CHAT_ANSWER)
    body = Pieces(*[packed[i : i + 7] for i in range(0, len(packed), 7)]) if streamed else packed
    call = await observed(chatting(CHAT), answer(body, headers=[*JSON, (b"content-encoding", coding.encode())]))
    assert call.complete
    assert call.usage is not None
    assert call.usage.input_tokens == 9
    assert call.bytes_received == len(packed)


@pytest.mark.parametrize("coding", [b"rot13", b"gzip"])
async def test_a_coding_that_cannot_be_read_leaves_the_call_incomplete_and_unpriced(coding: bytes) -> None:
    call = await observed(chatting(CHAT), answer(CHAT_ANSWER, headers=[*JSON, (b"content-encoding", coding)]))
    assert not call.complete
    assert call.usage is None
    assert call.ended


async def test_an_answer_cut_off_inside_its_coding_is_not_complete() -> None:
    packer = zlib.compressobj(wbits=31)
    whole = packer.compress(CHAT_ANSWER) + packer.flush()
    for missing in (1, 8, 9, 40):  # up to 8 bytes: the text is whole, and its checksum is not
        cut = answer(whole[:-missing], headers=[*JSON, (b"content-encoding", b"gzip")])
        assert not (await observed(chatting(CHAT), cut)).complete


@pytest.mark.parametrize("status", [400, 401, 429, 500])
async def test_an_error_is_not_complete(status: int) -> None:
    call = await observed(chatting(CHAT), answer(b'{"error":{}}', status))
    assert not call.complete
    assert call.status == status
    assert call.usage is None


async def test_a_cut_off_stream_is_estimated() -> None:
    broken = UpstreamError("http_response_incomplete", "cut")
    called = chatting()
    with pytest.raises(UpstreamError):
        await observed(called, answer(Pieces(FIRST, SECOND, broken), headers=SSE))
    call = called.call
    assert call is not None
    assert call.ended
    assert not call.complete
    assert isinstance(called.request.body, bytes)
    assert call.usage == Usage(input_tokens=len(called.request.body) // 4, output_tokens=2, estimated=True)


async def test_what_was_reported_before_the_cut_is_kept_and_marked() -> None:
    call = await observed(chatting(), answer(Pieces(FIRST, SECOND, USAGE, DONE), headers=SSE), limit=3)
    assert call.usage is not None
    assert call.usage.estimated
    assert call.usage.input_tokens == 9
    assert call.usage.output_tokens == 3  # more events than tokens were seen
    assert not call.complete


async def test_an_error_that_was_cut_off_costs_nothing() -> None:
    call = await observed(chatting(), answer(Pieces(b"{"), 500, SSE), limit=0)
    assert call.usage is None


async def test_a_call_that_fails_has_ended() -> None:
    called = chatting()
    with pytest.raises(UpstreamError):
        await Observe(TaskSet()).handle(called, Origin(UpstreamError("dns_error", "no")))
    assert called.call is not None
    assert called.call.ended
    assert called.call.first_byte_at is None


async def left_before_its_head(tasks: TaskSet, called: Exchange, origin: Handler) -> UpstreamCall:
    asking = asyncio.ensure_future(Observe(tasks).handle(called, origin))
    await turns()
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    assert called.call is not None
    return called.call


async def given_up(called: Exchange) -> UpstreamCall:
    """What is noted of a call that the process itself gives up, when it stops."""

    async def never(asked: Exchange) -> Response:
        await asyncio.Event().wait()
        raise AssertionError

    tasks = TaskSet()
    call = await left_before_its_head(tasks, called, never)
    assert not call.ended
    await tasks.cancel()
    return call


async def test_an_answer_that_nobody_waits_for_any_more_is_counted_all_the_same() -> None:
    """The provider has read it: it answers, and charges."""
    called, head, tasks = chatting(CHAT), asyncio.Event(), TaskSet()
    watching = Watching()
    called.watchers.append(lambda response: watching)

    async def slow(asked: Exchange) -> Response:
        await head.wait()
        return answer()

    call = await left_before_its_head(tasks, called, slow)
    assert not call.ended
    head.set()
    await tasks.wait(1.0)
    assert call.complete
    assert call.usage is not None
    assert not call.usage.estimated
    assert watching.endings == [Ending.COMPLETE]


async def test_a_stream_that_nobody_waits_for_any_more_ends_at_its_head() -> None:
    called, head, tasks = chatting(), asyncio.Event(), TaskSet()
    pieces = Pieces(FIRST, SECOND)

    async def slow(asked: Exchange) -> Response:
        await head.wait()
        return answer(pieces, headers=SSE)

    call = await left_before_its_head(tasks, called, slow)
    head.set()
    await tasks.wait(1.0)
    assert pieces.closed == 1
    assert call.ended
    assert not call.complete


async def test_a_call_given_up_before_its_head_costs_at_least_what_was_asked() -> None:
    called = chatting(CHAT)
    call = await given_up(called)
    assert call.ended
    assert call.usage == Usage(input_tokens=len(CHAT) // 4, estimated=True)


@pytest.mark.parametrize("kind", ["stream", "whole", "failure"])
async def test_a_client_that_leaves_in_the_turn_in_which_the_head_comes_leaves_nothing_open(kind: str) -> None:
    called, head, body = chatting(), asyncio.Event(), Pieces(FIRST)

    async def slow(asked: Exchange) -> Response:
        await head.wait()
        if kind == "failure":
            raise UpstreamError("dns_error", "no")
        return answer(body if kind == "stream" else b"x", headers=SSE)

    tasks = TaskSet()
    asking = asyncio.ensure_future(Observe(tasks).handle(called, slow))
    await turns()
    head.set()
    await turns(1)  # the call has its answer, and whoever waits for it has not been woken
    assert not asking.done()
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    await turns()
    assert called.call is not None
    assert called.call.ended
    assert body.closed == (1 if kind == "stream" else 0)
    assert len(tasks) == 0


async def test_a_call_that_nobody_waits_for_may_fail() -> None:
    called, head, tasks = chatting(), asyncio.Event(), TaskSet()

    async def failing(asked: Exchange) -> Response:
        await head.wait()
        raise UpstreamError("dns_error", "no")

    call = await left_before_its_head(tasks, called, failing)
    head.set()
    await turns()
    assert call.ended
    assert len(tasks) == 0


async def test_a_call_that_nobody_charges_for_costs_nothing_when_it_is_given_up() -> None:
    for called in (exchange(request(host="example.com")), chatting(operation=UNKNOWN)):
        assert (await given_up(called)).usage is None
    streamed = chatting()
    streamed.request.body = Pieces(b"x")
    assert (await given_up(streamed)).usage == Usage(estimated=True)


async def test_a_host_that_is_no_provider_is_complete_by_its_framing() -> None:
    called = exchange(request(host="example.com"))
    call = await observed(called, answer(Pieces(b"anything"), headers=[(b"content-type", b"text/html")]))
    assert call.complete
    assert call.reader is None
    assert call.usage is None


async def test_taps_of_the_stages_above_see_the_body() -> None:
    called, tap = chatting(CHAT), Watching()
    called.watchers += [lambda response: tap, lambda response: None]
    await Observe(TaskSet()).handle(called, Origin(answer()))
    assert tap.seen == [CHAT_ANSWER]
    assert tap.endings == [Ending.COMPLETE]


async def test_an_empty_answer_is_shown_as_nothing() -> None:
    called, tap = chatting(CHAT), Watching()
    called.watchers.append(lambda response: tap)
    await Observe(TaskSet()).handle(called, Origin(answer(b"", 204)))
    assert tap.seen == []
    assert tap.endings == [Ending.COMPLETE]
    assert called.call is not None
    assert not called.call.complete


class BadReader:
    """A reader with a bug."""

    def __init__(self, *, in_feed: bool) -> None:
        self._in_feed = in_feed

    def feed(self, data: bytes) -> None:
        if self._in_feed:
            raise ValueError

    def usage(self) -> Usage | None:
        raise ValueError

    def is_complete(self) -> bool:
        raise ValueError


@pytest.mark.parametrize("in_feed", [True, False])
async def test_a_reader_with_a_bug_does_not_keep_the_call_from_ending(in_feed: bool) -> None:
    call, heard = UpstreamCall(started_at=1.0), []
    call.when_ended(lambda: heard.append(1))
    taps: list[Tap] = [CallTap(call, BadReader(in_feed=in_feed), decoder("identity"), request_bytes=1)]
    await consumed(Response(200, [], Pieces(b"a"), taps=taps))
    assert call.ended
    assert heard == [1]
    assert not call.complete


async def test_a_call_in_a_flight_has_the_flights_task_and_no_other() -> None:
    tasks = TaskSet()
    called = chatting(CHAT, history=History())

    async def origin(asked: Exchange) -> Response:
        assert not tasks
        assert asyncio.current_task() is caller
        return answer()

    caller = asyncio.current_task()
    await Observe(tasks).handle(called, origin)
    assert called.call is not None
    assert called.call.complete


async def test_a_call_in_a_flight_that_is_given_up_owes_what_was_asked() -> None:
    called, asked = chatting(CHAT, history=History()), asyncio.Event()

    async def origin(_: Exchange) -> Response:
        asked.set()
        return await asyncio.Future()

    task = asyncio.ensure_future(Observe(TaskSet()).handle(called, origin))
    await asked.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert called.call is not None
    assert called.call.ended
    assert called.call.usage is not None
    assert called.call.usage.estimated
