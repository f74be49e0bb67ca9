"""One client of the counted proxy: one connection, one call at a time, and streams whose events come one by one.

Rules: every answer is compared with the expected bytes. An event is let go only when the one before it was read, so
that each is one wake-up of the proxy, however slow it is.
"""

import select
import socket
import time
from collections.abc import Callable
from types import TracebackType
from typing import Final, Self

from bench.answers import StreamReader, WholeReader
from bench.failures import BenchFailed
from bench.target import Target, close_all, connect, receive, send
from bench.work import Requests, answer

_SILENCE_S: Final = 60.0


class Caller:
    """A connection through the proxy."""

    def __init__(self, target: Target, pace: tuple[str, int]) -> None:
        """`pace` is where the upstream hears that the next event may go."""
        self._requests = Requests()
        self._socket = connect(target, target.context())
        self._pace = socket.create_connection(pace, timeout=_SILENCE_S)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, failure: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pace.close()
        close_all([self._socket])

    def ask(self, number: int) -> None:
        """One call and its whole answer. Raises BenchFailed when it is not the one expected."""
        send(self._socket, self._requests.make(number))
        reader = WholeReader()
        while (body := reader.feed(self._read())) is None:
            pass
        if body != answer(number):
            raise BenchFailed(f"a wrong answer to call {number}: {body[:200]!r}")

    def begin_stream(self, number: int, events: int) -> "Stream":
        """Ask for a stream; returns when its first event is there."""
        send(self._socket, Requests(events=events).make(number))
        stream = Stream(self._read, self._pace)
        stream.read(1)
        return stream

    def _read(self) -> bytes:
        give_up_at = time.monotonic() + _SILENCE_S
        while time.monotonic() < give_up_at:
            if not select.select([self._socket], [], [], _SILENCE_S)[0]:
                break
            if (data := receive(self._socket)) is not None:
                return data
        raise BenchFailed("no answer any more")


class Stream:
    """A stream that runs in lock-step with its client."""

    def __init__(self, read: Callable[[], bytes], pace: socket.socket) -> None:
        self._read = read
        self._pace = pace
        self._reader = StreamReader()

    def read(self, events: int) -> None:
        """Read on until there are so many in all, asking for them one by one."""
        seen = self._reader.delays_ns
        while len(seen) < events:
            if seen:
                self._pace.send(b".")
            before = len(seen)
            while len(seen) == before:
                self._feed()

    def end(self) -> None:
        """The end marker. Raises BenchFailed when it does not come."""
        self._pace.send(b".")
        while not self._reader.is_complete:
            self._feed()
        if not self._reader.saw_done:
            raise BenchFailed("a stream ended without its end marker")

    def _feed(self) -> None:
        self._reader.feed(self._read(), time.monotonic_ns())
