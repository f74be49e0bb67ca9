"""A flight: one upstream call that several identical exchanges share, streams included.

Rules: it runs in a task of its own and belongs to no client, so nobody's disconnect harms another; it ends with its
last reader. A reader that joins late first gets everything received so far. What was received is kept for late readers
up to a limit; past it nobody can join any more and only what the slowest reader still needs is kept. A reader that lags
more than the limit is cut off; it slows nobody. A failure reaches every reader, once each.
"""

import asyncio
from collections.abc import Awaitable, Callable

from proxy.exchange.errors import UpstreamError
from proxy.exchange.forward import show, show_end
from proxy.exchange.model import Body, Ending, Exchange, Response, UpstreamCall
from proxy.tasks import TaskSet


class Flight:
    """One call under way. Make it, `start` it, then `join` it for each exchange."""

    def __init__(self, exchange: Exchange, *, keep_bytes: int, lag_bytes: int) -> None:
        self.exchange = exchange
        self.joinable = True
        self._keep = keep_bytes
        self._lag = lag_bytes
        self._head: asyncio.Future[Response] = asyncio.get_running_loop().create_future()
        self._chunks: list[bytes] = []
        self._dropped = 0  # chunks no longer kept, all of them read by every reader
        self._received = 0
        self._readers: set[FlightReader] = set()
        self._waiting_for_head = 0
        self._ended = False
        self._failure: BaseException | None = None
        self._task: asyncio.Task[None] | None = None

    @property
    def call(self) -> UpstreamCall | None:
        """The upstream call, once it has begun."""
        return self.exchange.call

    def start(
        self, tasks: TaskSet, handler: Callable[[Exchange], Awaitable[Response]], on_end: Callable[[], None]
    ) -> None:
        """Make the call. `on_end` runs when no further reader may join."""
        self._task = tasks.spawn(self._run(handler, on_end), name="flight")

    async def _run(self, handler: Callable[[Exchange], Awaitable[Response]], on_end: Callable[[], None]) -> None:
        try:
            response = await handler(self.exchange)
            if isinstance(response.body, bytes):
                if response.body:
                    self._receive(response.body)
                self._ended = True
                self._head.set_result(response)
                return
            self._head.set_result(response)
            await self._pump(response)
        except asyncio.CancelledError:
            self._fail(UpstreamError("connection_terminated", "the call was given up"))
            raise
        except Exception as failure:
            self._fail(failure)
        finally:
            self.joinable = False
            self._ended = True
            on_end()
            self._wake()

    async def _pump(self, response: Response) -> None:
        body, ending = response.body, Ending.ABANDONED
        assert not isinstance(body, bytes)
        try:
            while (chunk := await body.read()) is not None:
                self._receive(chunk)
                self._wake()
                if response.taps:
                    show(response.taps, chunk)
            ending = Ending.COMPLETE
        except Exception:
            ending = Ending.TRUNCATED
            raise
        finally:
            show_end(response.taps, ending)
            await body.aclose()

    def _receive(self, chunk: bytes) -> None:
        self._chunks.append(chunk)
        self._received += len(chunk)
        if self._received > self._keep:
            self.joinable = False
            self._trim()

    def _trim(self) -> None:
        """Drop what every reader has; cut off readers that keep too much alive."""
        for reader in list(self._readers):
            if self._received - reader.taken > self._lag:
                reader.cut_off()
        positions = [reader.position for reader in self._readers]
        needed = min(positions, default=self._dropped + len(self._chunks))
        del self._chunks[: needed - self._dropped]
        self._dropped = needed

    def _fail(self, failure: BaseException) -> None:
        self._failure = failure
        if not self._head.done():
            self._head.set_exception(failure)
            self._head.exception()  # retrieved: the waiters get their own copy

    def _wake(self) -> None:
        for reader in self._readers:
            reader.wake()

    async def join(self) -> Response:
        """The response, with a body of one's own. Raises the failure of the call."""
        self._waiting_for_head += 1
        reader = FlightReader(self)
        self._readers.add(reader)
        try:
            head = await asyncio.shield(self._head)
        except BaseException as failure:
            self._leave(reader)
            if isinstance(failure, UpstreamError):
                raise _copy(failure) from failure
            raise
        finally:
            self._waiting_for_head -= 1
        if isinstance(head.body, bytes):
            self._leave(reader)
            return Response(head.status, list(head.headers), head.body, head.content_length)
        return Response(head.status, list(head.headers), reader, head.content_length)

    def next_chunk(self, position: int) -> bytes | None:
        """What stands at `position`, or None when it has not come yet."""
        index = position - self._dropped
        return self._chunks[index] if index < len(self._chunks) else None

    @property
    def is_over(self) -> bool:
        """Nothing more will be received."""
        return self._ended

    def failure(self) -> BaseException | None:
        """Why it ended badly, for one reader."""
        return _copy(self._failure) if isinstance(self._failure, UpstreamError) else self._failure

    def _leave(self, reader: "FlightReader") -> None:
        self._readers.discard(reader)
        if not self._readers and not self._ended and self._task is not None:
            self.joinable = False
            self._task.cancel()

    def leave(self, reader: "FlightReader") -> None:
        """A reader has enough. The last one to leave ends the flight."""
        self._leave(reader)


class FlightReader(Body):
    """One exchange's view of the flight: a Body."""

    def __init__(self, flight: Flight) -> None:
        self._flight = flight
        self._wakeup: asyncio.Future[None] | None = None
        self._cut_off = False
        self._closed = False
        self.position = 0  # chunks taken
        self.taken = 0  # bytes taken

    async def read(self) -> bytes | None:
        flight = self._flight
        while True:
            if self._cut_off:
                raise UpstreamError("reader_too_slow", "this client read too slowly for a shared answer")
            chunk = flight.next_chunk(self.position)
            if chunk is not None:
                self.position += 1
                self.taken += len(chunk)
                return chunk
            if flight.is_over:
                if (failure := flight.failure()) is not None:
                    raise failure
                return None
            self._wakeup = asyncio.get_running_loop().create_future()
            try:
                await self._wakeup
            finally:
                self._wakeup = None

    def wake(self) -> None:
        """Something came."""
        if self._wakeup is not None and not self._wakeup.done():
            self._wakeup.set_result(None)

    def cut_off(self) -> None:
        """Too far behind: this reader's next read fails."""
        self._cut_off = True
        self._flight.leave(self)
        self.wake()

    async def aclose(self) -> None:
        if not self._closed:
            self._closed = True
            self._flight.leave(self)


def _copy(failure: UpstreamError) -> UpstreamError:
    return UpstreamError(failure.code, failure.message, status=failure.status, sent=failure.sent)
