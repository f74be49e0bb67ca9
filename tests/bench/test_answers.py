"""The readers of the load generator: whatever the pieces, the same answer; nothing wrong goes unnoticed."""

import pytest

from bench.answers import ChunkReader, StreamReader, WholeReader
from bench.failures import BenchFailed
from bench.work import answer, event, last_events

WITH_LENGTH = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nServer: x\r\n\r\nhello"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n"


def chunked(*pieces: bytes) -> bytes:
    return b"".join([b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces])


@pytest.mark.parametrize("data", [WITH_LENGTH, CHUNKED])
def test_answer_is_read_whole(data: bytes) -> None:
    assert WholeReader().feed(data) == b"hello"


@pytest.mark.parametrize("data", [WITH_LENGTH, CHUNKED])
def test_answer_is_read_byte_by_byte(data: bytes) -> None:
    reader = WholeReader()
    got = [reader.feed(data[at : at + 1]) for at in range(len(data))]
    assert got == [None] * (len(data) - 1) + [b"hello"]


@pytest.mark.parametrize("data", [WITH_LENGTH, CHUNKED])
def test_reader_reads_the_next_answer_as_well(data: bytes) -> None:
    reader = WholeReader()
    assert [reader.feed(data), reader.feed(data)] == [b"hello", b"hello"]


@pytest.mark.parametrize(
    "data",
    [
        WITH_LENGTH + b"x",
        CHUNKED + b"x",
        b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nServer: x\r\n\r\n",
    ],
)
def test_wrong_answer_is_refused(data: bytes) -> None:
    with pytest.raises(BenchFailed):
        WholeReader().feed(data)


def test_chunk_that_does_not_end_where_it_should_is_refused() -> None:
    with pytest.raises(BenchFailed):
        ChunkReader().feed(b"2\r\nhello\r\n")


def test_real_answer_is_read() -> None:
    head = b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(answer(7))
    assert WholeReader().feed(head + answer(7)) == answer(7)


def stream_bytes(*, wants_usage: bool) -> bytes:
    head = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
    events = [event(number, 1000 * number, wants_usage=wants_usage) for number in range(3)]
    return head + chunked(*events, last_events(3, wants_usage=wants_usage)) + b"0\r\n\r\n"


@pytest.mark.parametrize("wants_usage", [False, True])
@pytest.mark.parametrize("size", [1, 7, 100_000])
def test_stream_gives_the_delay_of_each_event(size: int, wants_usage: bool) -> None:
    data = stream_bytes(wants_usage=wants_usage)
    reader = StreamReader()
    for at in range(0, len(data), size):
        reader.feed(data[at : at + size], 5000)
    assert (reader.delays_ns, reader.saw_done, reader.is_complete) == ([5000, 4000, 3000], True, True)


def test_lost_event_is_noticed() -> None:
    reader = StreamReader()
    reader.feed(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n", 0)
    with pytest.raises(BenchFailed, match="event 1 came where 0 was due"):
        reader.feed(chunked(event(1, 0, wants_usage=False)), 0)


def test_stream_without_end_marker_is_not_done() -> None:
    reader = StreamReader()
    head = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
    reader.feed(head + chunked(event(0, 0, wants_usage=False)) + b"0\r\n\r\n", 0)
    assert (reader.saw_done, reader.is_complete) == (False, True)
