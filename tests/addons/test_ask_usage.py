"""Streams are made to report their usage, and nobody but us sees that."""

import itertools
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from addons.ask_usage import AskUsage, EventFilter, WithoutAddedUsage
from addons.observe import Observe
from proxy.exchange.errors import UpstreamError
from proxy.exchange.headers import first
from proxy.exchange.model import UpstreamCall
from proxy.tasks import TaskSet
from tests.addons.streams import DONE, FIRST, SECOND, USAGE, chatting, consumed
from tests.support.exchanges import (
    CHAT,
    CHAT_STREAM,
    JSON,
    REGISTRY,
    SSE,
    Origin,
    Pieces,
    answer,
    calling,
    read_all,
)

STREAM = (FIRST, SECOND, USAGE, DONE)
WITHOUT = FIRST + SECOND + DONE
ASKING = CHAT_STREAM[:-1] + b',"stream_options":{"include_usage":true}}'
COMMENT = b": keep-alive\n\n"
QUOTING = b'data: {"choices":[{"delta":{"content":"a \\"usage\\" of"}}],"usage":null}\n\n'
ON_A_CHOICE = b'data: {"choices":[{"delta":{"content":"x"}}],"usage":{"prompt_tokens":1}}\n\n'

PROVIDER = REGISTRY.by_name("openai")


def is_added(event: bytes) -> bool:
    assert PROVIDER is not None
    return PROVIDER.is_added_usage(event)


async def test_the_stream_is_asked_and_the_added_event_taken_out() -> None:
    called, origin = chatting(), Origin(answer(Pieces(*STREAM), headers=SSE))
    response = await calling(Observe(TaskSet()), AskUsage(enabled=True), end=origin)(called)
    assert await consumed(response) == WITHOUT
    assert b'"include_usage":true' in origin.asked[0].body  # type: ignore[operator]
    assert first(origin.asked[0].headers, b"accept-encoding") == b"identity"
    assert called.request.body == CHAT_STREAM
    assert called.call is not None
    assert called.call.complete
    assert called.call.usage is not None
    assert called.call.usage.output_tokens == 2


async def test_the_clients_own_request_is_put_back_after_a_failure_too() -> None:
    called, origin = chatting(), Origin(UpstreamError("dns_error", "no"))
    with pytest.raises(UpstreamError):
        await AskUsage(enabled=True).handle(called, origin)
    assert called.request.body == CHAT_STREAM


@pytest.mark.parametrize("body", [ASKING, CHAT], ids=["asks itself", "does not stream"])
async def test_who_needs_no_asking_is_left_alone(body: bytes) -> None:
    assert PROVIDER is not None
    called, origin = chatting(body), Origin(answer(Pieces(*STREAM), headers=SSE))
    called.json = {"stream": body is ASKING, "stream_options": {"include_usage": True}}
    called.facts = PROVIDER.describe(called.operation, "/v1/chat/completions", "", called.json)
    response = await AskUsage(enabled=True).handle(called, origin)
    assert origin.asked[0] is called.request
    assert await read_all(response.body) == b"".join(STREAM)


@pytest.mark.parametrize(
    "change",
    [
        {"provider": None},
        {"json": None},
        {"json": {"stream": True, "stream_options": 5}},
    ],
    ids=str,
)
async def test_what_cannot_be_changed_is_left_alone(change: dict[str, object]) -> None:
    called, origin = chatting(), Origin(answer(Pieces(*STREAM), headers=SSE))
    for name, value in change.items():
        setattr(called, name, value)
    response = await AskUsage(enabled=True).handle(called, origin)
    assert origin.asked[0] is called.request
    assert await read_all(response.body) == b"".join(STREAM)


async def test_a_body_that_is_streamed_or_coded_is_left_alone() -> None:
    for spoil in ("body", "coding"):
        called, origin = chatting(), Origin(answer(Pieces(*STREAM), headers=SSE))
        if spoil == "body":
            called.request.body = Pieces(CHAT_STREAM)
        else:
            called.request.headers.append((b"content-encoding", b"gzip"))
        await AskUsage(enabled=True).handle(called, origin)
        assert origin.asked[0] is called.request


async def test_it_can_be_turned_off() -> None:
    called, origin = chatting(), Origin(answer(Pieces(*STREAM), headers=SSE))
    await AskUsage(enabled=False).handle(called, origin)
    assert origin.asked[0] is called.request


async def test_an_answer_that_is_no_plain_stream_is_passed_as_it_is() -> None:
    for unfit in (
        answer(b'{"error":{}}', 400),
        answer(Pieces(*STREAM), headers=JSON),
        answer(Pieces(*STREAM), headers=[*SSE, (b"content-encoding", b"gzip")]),
    ):
        response = await AskUsage(enabled=True).handle(chatting(), Origin(unfit))
        assert await read_all(response.body) == await read_all(unfit.body) or response.body is unfit.body


async def test_closing_closes_the_origins_body() -> None:
    body = Pieces(*STREAM)
    assert PROVIDER is not None
    await WithoutAddedUsage(body, PROVIDER, chatting()).aclose()
    assert body.closed == 1


async def test_without_a_call_or_a_reader_it_filters_all_the_same() -> None:
    assert PROVIDER is not None
    for call in (None, UpstreamCall(started_at=1.0)):
        called = chatting(call=call)
        assert await read_all(WithoutAddedUsage(Pieces(*STREAM), PROVIDER, called)) == WITHOUT


async def test_what_came_before_a_cut_reaches_the_client_first() -> None:
    assert PROVIDER is not None
    body = WithoutAddedUsage(Pieces(FIRST + SECOND[:10], UpstreamError("x", "cut")), PROVIDER, chatting())
    assert [await body.read(), await body.read()] == [FIRST, SECOND[:10]]
    for _ in range(2):
        with pytest.raises(UpstreamError):
            await body.read()


async def test_an_event_is_not_held_back_once_it_is_whole() -> None:
    assert PROVIDER is not None
    body = WithoutAddedUsage(Pieces(FIRST, SECOND[:20], SECOND[20:] + USAGE[:9], USAGE[9:], DONE), PROVIDER, chatting())
    assert [await body.read() for _ in range(4)] == [FIRST, SECOND, DONE, None]


EVENTS = [FIRST, SECOND, USAGE, DONE, COMMENT, QUOTING, ON_A_CHOICE, b"\n", b"\n\n", b"id: 1\nevent: x\ndata: y\n\n"]
_ENDING = re.compile(rb"(?>\r\n|\n|\r)(?>\r\n|\n|\r)")


def expected(stream: bytes) -> bytes:
    """The whole stream, cut at its blank lines, without the events that are added usage."""
    kept, start = b"", 0
    for ending in _ENDING.finditer(stream):
        event, start = stream[start : ending.end()], ending.end()
        if not is_added(event.strip(b"\r\n")):
            kept += event
    return kept + stream[start:]


def filtered(pieces: list[bytes], limit: int = 1 << 20) -> bytes:
    filter_ = EventFilter(is_added, limit)
    return b"".join([*map(filter_.feed, pieces), filter_.rest()])


def cut(stream: bytes, at: list[int]) -> list[bytes]:
    places = sorted({0, len(stream), *(place % (len(stream) + 1) for place in at)})
    return [stream[a:b] for a, b in itertools.pairwise(places)]


@pytest.mark.parametrize("line_end", [b"\n", b"\r\n", b"\r"])
def test_wherever_the_stream_is_cut_only_the_added_event_is_missing(line_end: bytes) -> None:
    stream = b"".join([COMMENT, *STREAM, QUOTING, USAGE]).replace(b"\n", line_end)
    wanted = b"".join([COMMENT, FIRST, SECOND, DONE, QUOTING]).replace(b"\n", line_end)
    assert filtered([stream]) == wanted
    assert filtered([bytes([byte]) for byte in stream]) == wanted
    for at in range(len(stream)):
        assert filtered([stream[:at], stream[at:]]) == wanted


@given(
    st.lists(st.tuples(st.sampled_from(EVENTS), st.sampled_from([b"\n", b"\r\n", b"\r"])), max_size=8),
    st.binary(max_size=5),
    st.lists(st.integers(0, 3000), max_size=12),
)
async def test_any_mixture_of_line_ends_and_cuts(parts: list[tuple[bytes, bytes]], tail: bytes, at: list[int]) -> None:
    stream = b"".join(event.replace(b"\n", line_end) for event, line_end in parts) + tail
    pieces = cut(stream, at)
    assert filtered(pieces) == expected(stream)
    assert PROVIDER is not None
    assert await read_all(WithoutAddedUsage(Pieces(*pieces), PROVIDER, chatting())) == expected(stream)


@given(st.lists(st.integers(0, 3000), max_size=12))
def test_past_an_event_that_is_too_long_everything_is_passed(at: list[int]) -> None:
    long = b"data: " + b"x" * 2000 + b"\n\n"
    before, after = FIRST + USAGE + SECOND, long + USAGE + DONE
    assert filtered(cut(before + after, at), limit=1000) == FIRST + SECOND + after


def test_an_unwanted_event_leaves_nothing_of_its_line_end() -> None:
    usage = USAGE.replace(b"\n", b"\r\n")
    assert filtered([usage[:-1], usage[-1:], DONE]) == DONE
    assert filtered([FIRST.replace(b"\n", b"\r\n")[:-1], b"\n" + DONE]) == FIRST.replace(b"\n", b"\r\n") + DONE
