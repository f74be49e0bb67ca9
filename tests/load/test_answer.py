"""Answers of every framing are read whole, byte by byte, and one after another."""

import pytest

from proxy.load.answer import AnswerReader

LENGTH = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"
EMPTY = b"HTTP/1.1 500 Broken\r\ncontent-length: 0\r\n\r\n"
NO_BODY = b"HTTP/1.1 204 No Content\r\n\r\n"
CHUNKED = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n1;x=y\r\n!\r\n0\r\n\r\n"
TRAILERS = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\na: b\r\n\r\n"
CLOSING = b"HTTP/1.1 429 Slow\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{}"
ALL = [(LENGTH, 200, 0), (EMPTY, 500, 0), (NO_BODY, 204, 0), (CHUNKED, 200, 2), (TRAILERS, 200, 1), (CLOSING, 429, 0)]


@pytest.mark.parametrize(("answer", "status", "pieces"), ALL)
@pytest.mark.parametrize("size", [1, 3, 10_000])
def test_an_answer_is_complete_with_its_last_byte(answer: bytes, status: int, pieces: int, size: int) -> None:
    reader = AnswerReader()
    parts = [answer[at : at + size] for at in range(0, len(answer), size)]
    assert [reader.feed(part) for part in parts] == [False] * (len(parts) - 1) + [True]
    assert (reader.status, reader.pieces, reader.is_last) == (status, pieces, answer is CLOSING)


def test_the_next_answer_begins_anew() -> None:
    reader = AnswerReader()
    for answer, status, pieces in ALL:
        assert reader.feed(answer)
        assert (reader.status, reader.pieces) == (status, pieces)


@pytest.mark.parametrize("answer", [LENGTH, CHUNKED, TRAILERS, EMPTY])
def test_bytes_after_an_answer_are_an_error(answer: bytes) -> None:
    with pytest.raises(ValueError, match="after the answer"):
        AnswerReader().feed(answer + b"x")


@pytest.mark.parametrize("garbage", [b"\x15\x03 no HTTP\r\n\r\n", b"x" * 70_000])
def test_what_is_no_http_is_an_error(garbage: bytes) -> None:
    with pytest.raises(ValueError, match=r"head|HTTP"):
        AnswerReader().feed(garbage)


def test_without_a_length_the_connection_ends_the_answer() -> None:
    reader = AnswerReader()
    assert not reader.feed(b"HTTP/1.1 200 OK\r\n\r\nuntil the end")
    assert reader.ended()


@pytest.mark.parametrize("cut", [LENGTH[:-1], CHUNKED[:-3], LENGTH[:20], b""])
def test_an_answer_that_is_cut_off_is_not_completed_by_the_end(cut: bytes) -> None:
    reader = AnswerReader()
    if cut:
        assert not reader.feed(cut)
    assert not reader.ended()
