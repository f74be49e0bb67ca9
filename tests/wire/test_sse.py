"""Server-sent events: cut apart the same way however the bytes come."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.wire.sse import SseSplitter, data_of
from tests.wire.feeding import bytewise, cut

STREAMS = {
    "LF": (b"data: a\n\nevent: x\ndata: b\n\n", [b"data: a", b"event: x\ndata: b"]),
    "CRLF": (b"data: a\r\n\r\nevent: x\r\ndata: b\r\n\r\n", [b"data: a", b"event: x\r\ndata: b"]),
    "CR": (b"data: a\r\rdata: b\rdata: c\r\r", [b"data: a", b"data: b\rdata: c"]),
    "mixed": (b"data: a\r\n\ndata: b\n\r\ndata: c\r\r\ndata: d\n\r", [b"data: a", b"data: b", b"data: c", b"data: d"]),
    "byte order mark": (b"\xef\xbb\xbfdata: a\n\n\xef\xbb\xbfx: b\n\n", [b"data: a", b"\xef\xbb\xbfx: b"]),
    "byte order mark alone": (b"\xef\xbb\xbf\n\ndata: a\n\n", [b"data: a"]),
    "many blank lines": (b"\n\n\n\ndata: a\n\n\n\n\ndata: b\n\n\n", [b"data: a", b"data: b"]),
    "blank CRLF lines": (b"\r\n\r\n\r\ndata: a\r\n\r\n\r\n\r\n\r\ndata: b\r\n\r\n", [b"data: a", b"data: b"]),
    "comments": (b": ping\n\ndata: a\n\n", [b": ping", b"data: a"]),
    "done": (b"data: {}\n\ndata: [DONE]\n\n", [b"data: {}", b"data: [DONE]"]),
}


@pytest.mark.parametrize("name", STREAMS)
@pytest.mark.parametrize("trailing", [b"", b"data: unfinished", b"x\n"])
def test_events_of_a_whole_stream(name: str, trailing: bytes) -> None:
    raw, events = STREAMS[name]
    splitter = SseSplitter()
    assert splitter.feed(raw + trailing) == events
    assert splitter.rest().lstrip(b"\r\n") == trailing


@pytest.mark.parametrize("name", STREAMS)
def test_events_byte_by_byte(name: str) -> None:
    raw, events = STREAMS[name]
    splitter = SseSplitter()
    assert [event for piece in bytewise(raw) for event in splitter.feed(piece)] == events


@given(
    raw=st.lists(st.sampled_from([b"\n", b"\r", b"\r\n", b"data: a", b"b", b"\xef\xbb\xbf"]), max_size=20).map(
        b"".join
    ),
    positions=st.lists(st.integers(0, 80), max_size=10),
)
def test_any_split_gives_the_same_events(raw: bytes, positions: list[int]) -> None:
    whole, pieces = SseSplitter(), SseSplitter()
    expected = whole.feed(raw)
    assert [event for piece in cut(raw, positions) for event in pieces.feed(piece)] == expected


@given(st.lists(st.binary(max_size=30)))
def test_random_bytes_never_raise(pieces: list[bytes]) -> None:
    splitter = SseSplitter(max_event_bytes=50)
    for piece in pieces:
        for event in splitter.feed(piece):
            assert len(event) <= 50
            data_of(event)


@given(st.lists(st.text(alphabet="ab{}: \u00e9", min_size=1), min_size=1), st.sampled_from([b"\n", b"\r\n", b"\r"]))
def test_data_round_trips(lines: list[str], end: bytes) -> None:
    raw = b"".join(b"data: " + line.encode() + end for line in lines) + end
    (event,) = SseSplitter().feed(raw)
    assert data_of(event) == "\n".join(lines).encode()


def test_event_is_given_as_soon_as_its_blank_line_ends() -> None:
    splitter = SseSplitter()
    assert splitter.feed(b"data: a\r\n\r") == [b"data: a"]
    assert splitter.feed(b"\ndata: b\r\n\r\n") == [b"data: b"]


def test_whole_chunks_are_cut_quickly_and_rightly() -> None:
    splitter = SseSplitter()
    splitter.feed(b"data: first\n\n")
    assert splitter.feed(b"data: a\n\n") == [b"data: a"]
    assert splitter.feed(b"data: a\n\ndata: b\n\n") == [b"data: a", b"data: b"]
    assert splitter.feed(b"") == []


@pytest.mark.parametrize("step", [1, 7, 10_000])
def test_event_beyond_the_bound_is_given_up(step: int) -> None:
    raw = b"data: a\n\ndata: " + b"x" * 120 + b"\n\ndata: b\n\n"
    splitter = SseSplitter(max_event_bytes=100)
    events: list[bytes] = []
    unread = raw
    while unread and not splitter.overflowed:
        events += splitter.feed(unread[:step])
        unread = unread[step:]
    assert events == [b"data: a"]
    assert splitter.overflowed
    assert splitter.feed(b"data: c\n\n") == []
    assert splitter.rest() + unread == raw.removeprefix(b"data: a\n\n")


def test_event_of_exactly_the_bound_is_given() -> None:
    event = b"data: " + b"x" * 94
    splitter = SseSplitter(max_event_bytes=100)
    assert [found for piece in bytewise(event + b"\r\n\r\n") for found in splitter.feed(piece)] == [event]


def test_rest_of_a_stream_that_never_ended_an_event() -> None:
    splitter = SseSplitter()
    splitter.feed(b"\xef\xbb\xbfdata: a\n")
    assert splitter.rest() == b"data: a\n"


@pytest.mark.parametrize(
    ("event", "data"),
    [
        (b"data: {}", b"{}"),
        (b"data:{}", b"{}"),
        (b"data:  two", b" two"),
        (b"event: x\ndata: a\ndata: b", b"a\nb"),
        (b"data: a\r\nevent: x\r\ndata: b", b"a\nb"),
        (b"data: the event: x", b"the event: x"),
        (b"event: x\nevent:y", b""),
        (b"data", b""),
        (b"data\ndata", b"\n"),
        (b": comment", b""),
        (b"database: x\nevents: y", b""),
        (b"id: 1\nretry: 2", b""),
    ],
)
def test_data_of_an_event(event: bytes, data: bytes) -> None:
    assert data_of(event) == data
