"""Streams in lock-step."""

import socket
from collections.abc import Iterator
from contextlib import closing

import pytest

from bench.budget.caller import Stream
from bench.failures import BenchFailed
from bench.upstream_http1 import LAST_CHUNK, chunk, head
from bench.upstream_pace import Pace, PaceControl
from bench.work import event, last_events


def test_each_byte_lets_the_stream_go_that_waits_longest() -> None:
    gone: list[str] = []
    pace = Pace()
    pace.wait(lambda: gone.append("first"))
    pace.wait(lambda: gone.append("second"))
    PaceControl(pace).data_received(b".")
    assert gone == ["first"]


def test_byte_for_which_nothing_waits_is_forgotten() -> None:
    gone: list[str] = []
    pace = Pace()
    PaceControl(pace).data_received(b"..")
    pace.wait(lambda: gone.append("late"))
    assert gone == []


class Script:
    """An answer whose events come when the pace socket has had a byte for each."""

    def __init__(self, pace: socket.socket, pieces: list[bytes]) -> None:
        self._pace = pace
        self._pieces: Iterator[bytes] = iter(pieces)
        self.words = 0

    def read(self) -> bytes:
        piece = next(self._pieces)
        if piece.startswith(b"HTTP/1.1"):
            return piece
        self._pace.setblocking(False)
        self.words += len(self._pace.recv(100))
        return piece


def _pieces(events: int) -> list[bytes]:
    first, *rest = [chunk(event(number, 0, wants_usage=False)) for number in range(events)]
    return [head([(b"content-type", b"text/event-stream")], None) + first, *rest]


def test_next_event_is_asked_for_when_the_one_before_was_read() -> None:
    near, far = socket.socketpair()
    with closing(near), closing(far):
        script = Script(far, _pieces(4))
        stream = Stream(script.read, near)
        stream.read(1)
        assert script.words == 0
        stream.read(4)
        assert script.words == 3


def test_stream_that_ends_without_its_marker_is_refused() -> None:
    near, far = socket.socketpair()
    with closing(near), closing(far):
        stream = Stream(Script(far, [*_pieces(1), LAST_CHUNK]).read, near)
        stream.read(1)
        with pytest.raises(BenchFailed, match="end marker"):
            stream.end()


def test_stream_ends_with_its_marker() -> None:
    near, far = socket.socketpair()
    with closing(near), closing(far):
        end = chunk(last_events(1, wants_usage=False)) + LAST_CHUNK
        script = Script(far, [*_pieces(1), end])
        stream = Stream(script.read, near)
        stream.read(1)
        stream.end()
        assert script.words == 1
