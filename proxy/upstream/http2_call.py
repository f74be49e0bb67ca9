"""One call over HTTP/2: waits for its answer, and is the body of it.

Rules: it has one reader. What arrives before the reader comes for it is handed over in one piece, so that one turn of
the loop serves many events; the first one never waits. Whoever opened it closes it. What the origin declares as the
length must come, or the answer was cut off.
"""

import asyncio
import time
from collections.abc import Callable
from typing import Final, Protocol

from proxy.exchange.errors import UpstreamError
from proxy.exchange.headers import HOP_BY_HOP, HeaderList
from proxy.exchange.model import Pours, Response
from proxy.wire.http2_client import REFUSED_STREAM
from proxy.wire.http2_outgoing import Outgoing
from proxy.wire.http2_status import status_of

_BODILESS: Final = frozenset({204, 304})


class Wire(Protocol):
    """The connection, as a call needs it."""

    def arrived(self, call: "Http2Call") -> None:
        """Something came for this call: `deliver` is to be called once all has been read."""
        ...

    def consumed(self, call: "Http2Call", count: int) -> None:
        """So much of the answer was taken."""
        ...

    def reset(self, call: "Http2Call") -> None:
        """Give the call up."""
        ...


class Http2Call(Outgoing, Pours):
    """See the module. `on_close` runs once, when the call needs its place on the connection no more."""

    __slots__ = (
        "_chunks", "_deadline", "_failure", "_has_arrived", "_has_ended", "_head_deadline", "_headers", "_is_closed",
        "_is_full", "_is_head", "_is_whole", "_length", "_loop", "_on_close", "_received", "_room", "_status", "_take",
        "_waiter", "_waiting_since", "_wire",
    )  # fmt: skip

    def __init__(
        self,
        wire: Wire,
        *,
        method: str,
        is_whole: bool,
        first_byte_s: float,
        total_s: float,
        on_close: Callable[[], None],
    ) -> None:
        super().__init__(declares_length=method in ("POST", "PUT", "PATCH"))
        now = time.monotonic()
        self._wire = wire
        self._loop = asyncio.get_running_loop()
        self._is_head = method == "HEAD"
        self._is_whole = is_whole  # the answer is wanted in one piece
        self._head_deadline = now + first_byte_s
        self._deadline = now + total_s
        self._on_close = on_close
        self._status = 0
        self._headers: HeaderList = []
        self._length: int | None = None
        self._received = 0
        self._chunks: list[bytes] = []
        self._take: Callable[[bytes], bool] | None = None  # whoever waits for pieces
        self._is_full = False  # it wants no more for now
        self._has_arrived = False  # `deliver` will be called
        self._has_ended = False
        self._is_closed = False
        self._failure: UpstreamError | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._room: asyncio.Future[None] | None = None
        self._waiting_since = 0.0

    # -- the reader's side

    async def response(self) -> Response:
        """The answer, whole or from its head on, as was wanted. Raises UpstreamError; has then given the call up."""
        try:
            while not (self._has_ended if self._is_whole else self._status):
                self._raise_failure()
                self._waiter = self._loop.create_future()
                await self._waiter
            if not self._is_whole:
                return Response(self._status, self._headers, self, self._length)
        except BaseException:
            self._close()
            raise
        finally:
            self._waiter = None
        self._close()
        body = self._chunks[0] if len(self._chunks) == 1 else b"".join(self._chunks)
        return Response(self._status, self._headers, body, self._length)

    async def read(self) -> bytes | None:
        """See proxy.exchange.model.Body."""
        if self._is_closed and not self._has_ended:
            raise UpstreamError("connection_terminated", "the answer was given up")
        while not self._chunks:
            self._raise_failure()
            if self._has_ended:
                return None
            self._waiting_since = time.monotonic()
            try:
                await self._wait()
            finally:
                self._waiting_since = 0.0
        return self._taken()

    async def pour(self, take: Callable[[bytes], bool]) -> bool:
        """See proxy.exchange.model.Pours."""
        if self._is_closed and not self._has_ended:
            raise UpstreamError("connection_terminated", "the answer was given up")
        self._take = take
        try:
            while True:
                if self._chunks:
                    if not take(self._taken()):
                        return False
                    continue
                self._raise_failure()
                if self._has_ended:
                    return True
                self._waiting_since = time.monotonic()
                await self._wait()
                if self._is_full:
                    return False
        finally:
            self._take = self._waiter = None  # which may know a failure, and so this frame
            self._is_full = False
            self._waiting_since = 0.0

    def deliver(self) -> None:
        """All has come that was there to be read: hand it on."""
        self._has_arrived = False
        take, waiter = self._take, self._waiter
        if waiter is None or waiter.done():
            return
        if take is not None and self._chunks:
            self._waiting_since = time.monotonic()
            try:
                self._is_full = not take(self._taken())
            except Exception as failure:  # noqa: BLE001 - handed on to whoever waits: other calls share this turn
                waiter.set_exception(failure)
                return
        if take is None or self._is_full or self._has_ended or self._failure is not None:
            self._wake()

    def _taken(self) -> bytes:
        chunks, self._chunks = self._chunks, []
        chunk = chunks[0] if len(chunks) == 1 else b"".join(chunks)
        if not self._has_ended:
            self._wire.consumed(self, len(chunk))
        return chunk

    async def aclose(self) -> None:
        """Give the rest up: the stream is reset, unless the end was reached."""
        self._close()

    def _close(self) -> None:
        if self._is_closed:
            return
        self._is_closed = True
        if not self._has_ended and self._failure is None:
            self._wire.reset(self)
        self._on_close()

    def _raise_failure(self) -> None:
        failure = self._failure
        if failure is not None:  # a copy: its traceback knows this call, and they would keep each other
            raise UpstreamError(failure.code, failure.message, status=failure.status, sent=failure.sent)

    def _wait(self) -> asyncio.Future[None]:
        self._waiter = self._loop.create_future()
        return self._waiter

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    # -- a request's body that comes in pieces

    def on_over(self, cancel: Callable[[], object]) -> None:
        """Run this before `on_close`: whoever hands the body over is needed no more."""
        on_close = self._on_close

        def both() -> None:
            cancel()
            on_close()

        self._on_close = both

    async def room(self) -> None:
        """Wait until all that was handed over is on its way, or the call is over."""
        while self.unsent and not self.is_over:
            self._room = self._loop.create_future()
            try:
                await self._room
            finally:
                self._room = None

    def on_room(self) -> None:
        if self._room is not None and not self._room.done():
            self._room.set_result(None)

    @property
    def is_over(self) -> bool:
        """Nothing more of the request needs to be sent."""
        return self._has_ended or self._is_closed or self._failure is not None

    # -- the origin's side

    def on_head(self, fields: HeaderList, *, is_end: bool) -> None:
        if self._status and is_end:  # fields after the body: nobody asks for them
            self._end()
            return
        status = status_of(fields) if not self._status else 0
        if not status or (is_end and status < 200):
            self._break("http_protocol_error", "the origin's answer is not HTTP", is_over=is_end)
            return
        if status < 200:
            return  # what comes before the answer is nothing to us
        self._take_head(status, fields)
        if is_end:
            self._end()
        elif not self._is_whole:
            self._wake()

    def _take_head(self, status: int, fields: HeaderList) -> None:
        self._status = status
        for field in fields[1:]:
            name, value = field
            if name == b"content-length":
                self._length = int(value) if value.isdigit() else None
            elif name not in HOP_BY_HOP:
                self._headers.append(field)

    def on_data(self, data: bytes, *, is_end: bool) -> None:
        if not self._status:
            self._break("http_protocol_error", "the origin's answer is not HTTP", is_over=is_end)
            return
        if data:
            self._received += len(data)
            self._chunks.append(data)
            if self._is_whole:
                self._wire.consumed(self, len(data))
        if is_end:
            self._end()
        elif not (self._is_whole or self._has_arrived):
            self._has_arrived = True
            self._wire.arrived(self)

    def _end(self) -> None:
        has_body = not self._is_head and self._status not in _BODILESS
        if self._length is not None and self._length != self._received and has_body:
            self._break("http_response_incomplete", "the origin broke off its answer", is_over=True)
            return
        self._has_ended = True
        self._wire.arrived(self)
        self.on_room()

    def _break(self, code: str, message: str, *, is_over: bool) -> None:
        failure = UpstreamError(code, message)
        if is_over:
            self.fail(failure)
        else:
            self.give_up(failure)

    def on_reset(self, code: int) -> None:
        message = "the origin closed the connection before it had answered"
        self.fail(UpstreamError("connection_terminated", message, sent=code != REFUSED_STREAM))

    def fail(self, failure: UpstreamError) -> None:
        """The call is over, and its connection knows. What had come can still be read."""
        if self.is_over:
            return
        if self._status and failure.code == "connection_terminated":
            failure = UpstreamError("http_response_incomplete", "the origin broke off its answer")
        self._failure = UpstreamError(failure.code, failure.message, status=failure.status, sent=failure.sent)
        self._wake()
        self.on_room()

    def give_up(self, failure: UpstreamError) -> None:
        """The request cannot be completed."""
        if not self.is_over:
            self._wire.reset(self)
            self.fail(failure)

    def check(self, now: float, idle_s: float) -> None:
        """Called by the pool's clock: give up what takes too long."""
        is_waiting_for_answer = not self._status or self._is_whole
        if is_waiting_for_answer and now > min(self._head_deadline, self._deadline):
            code, message = "http_response_timeout", "the origin took too long to answer"
        elif now > self._deadline:
            code, message = "http_response_timeout", "the origin stopped sending"
        elif self._waiting_since and now - self._waiting_since > idle_s:
            code, message = "connection_read_timeout", "the origin stopped sending"
        else:
            return
        self.give_up(UpstreamError(code, message, status=504))
