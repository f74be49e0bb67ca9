"""A flight: one upstream call that several identical exchanges share, streams included.

Rules: it runs in a task of its own and belongs to no client, so nobody's disconnect harms another; it ends with its
last reader. A reader that joins late first gets everything received so far. What was received is kept for late readers
up to a limit; past it nobody can join any more, and only what the slowest reader still needs is kept. From then on the
origin is read at the pace of the fastest reader, and a reader that falls further behind that one than the limit (and
than it was when it joined) is cut off; it slows nobody. A failure reaches every reader, once each.
"""

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from proxy.exchange.errors import ExchangeError, Refusal, UpstreamError
from proxy.exchange.forward import pour, show, show_end
from proxy.exchange.history import History
from proxy.exchange.model import Body, Ending, Exchange, Pours, Response, Tap, UpstreamCall
from proxy.tasks import TaskSet

log = structlog.get_logger(__name__)

AHEAD_BYTES = 262_144  # how far the origin is read before the fastest reader; its connection waits then


class Flight:
    """One call under way. Make it, `start` it, then `join` it for each exchange."""

    def __init__(self, exchange: Exchange, *, keep_bytes: int, lag_bytes: int) -> None:
        self.exchange = exchange
        self.joinable = True
        self._keep = keep_bytes
        self._lag = lag_bytes
        self._ahead = min(AHEAD_BYTES, lag_bytes)
        self._head: asyncio.Future[Response] = asyncio.get_running_loop().create_future()
        self.history = exchange.history = History()  # less what is no longer kept, all of it read by every reader
        self._taps: list[Tap] = []
        self._received = 0
        self._readers: list[FlightReader] = []
        self._ended = False
        self._was_joined = False
        self._front = 0  # bytes that the fastest reader has taken
        self._failure: BaseException | None = None
        self._wanted: asyncio.Event | None = None  # the fastest reader wants more; None while nobody waits for it
        self._task: asyncio.Task[None] | None = None

    @property
    def call(self) -> UpstreamCall | None:
        """The upstream call, once it has begun."""
        return self.exchange.call

    @property
    def readers(self) -> int:
        """How many exchanges share it now."""
        return len(self._readers)

    @property
    def is_wanted(self) -> bool:
        """Somebody waits for its answer, or nobody has had the time to."""
        return bool(self._readers) or not self._was_joined

    @property
    def is_replayable(self) -> bool:
        """All that was received is still there: a reader that joins now gets everything."""
        return self._received <= self._keep

    @property
    def kept_bytes(self) -> int:
        """What is held for readers."""
        return self.history.held

    def start(
        self, tasks: TaskSet, handler: Callable[[Exchange], Awaitable[Response]], on_end: Callable[[], None]
    ) -> None:
        """Make the call. `on_end` runs when no further reader may join."""
        self._task = tasks.spawn(self._run(handler, on_end), name="flight")

    async def _run(self, handler: Callable[[Exchange], Awaitable[Response]], on_end: Callable[[], None]) -> None:
        try:
            response = await handler(self.exchange)
            self._head.set_result(response)
            del handler  # it would keep the rest of the chain, and what that gave, while the body comes
            if not isinstance(response.body, bytes):
                self._wake()
                await self._pump(response.taps, response.body, is_wanted=self.is_wanted)
        except asyncio.CancelledError:
            self._fail(UpstreamError("connection_terminated", "the call was given up"))
            raise
        except ExchangeError as failure:
            self._fail(failure)
        except Exception as failure:
            log.error("flight_failed", exchange=self.exchange.id, error=type(failure).__name__, exc_info=failure)
            self._fail(failure)
        finally:
            self.joinable = False
            self._ended = True
            on_end()
            self._wake()

    def _take(self, chunk: bytes) -> bool:
        self._receive(chunk)
        self._wake()
        if self._taps:
            show(self._taps, chunk)
        return self._received - self._front <= self._ahead

    async def _pump(self, taps: list[Tap], body: Body, *, is_wanted: bool) -> None:
        ending = Ending.ABANDONED
        self._taps = taps
        try:
            while is_wanted and not await pour(body, self._take):
                await self._until_wanted()
            ending = Ending.COMPLETE if is_wanted else Ending.ABANDONED
        except Exception:
            ending = Ending.TRUNCATED
            raise
        finally:
            show_end(taps, ending)
            await body.aclose()

    def _receive(self, chunk: bytes) -> None:
        is_due = self.history.append(chunk)
        self._received += len(chunk)
        if self._received > self._keep:
            self.joinable = False
            self._trim()
        elif is_due and self._readers:
            self.history.pack(min(reader.position for reader in self._readers))

    def _trim(self) -> None:
        """Drop what every reader has; cut off readers that keep too much alive."""
        if not self._readers:
            return  # the first one is about to join
        fastest = self._fastest()
        for reader in list(self._readers):
            if fastest - reader.taken > self._lag + reader.found:
                reader.cut_off()
        self.history.drop(min(reader.position for reader in self._readers))

    def _fastest(self) -> int:
        return max((reader.taken for reader in self._readers), default=self._received)

    async def _until_wanted(self) -> None:
        """Let the origin wait while even the fastest reader is behind it: what is held is what somebody has read."""
        while self._received - self._front > self._ahead:
            self._wanted = asyncio.Event()
            await self._wanted.wait()
        self._wanted = None

    def taken(self, reached: int) -> None:
        """A reader went on to this many bytes, or left."""
        self._front = max(self._front, reached)
        if self._wanted is not None:
            self._wanted.set()

    def _fail(self, failure: BaseException) -> None:
        self._failure = failure.with_traceback(None)  # which would keep this flight's own frames
        if not self._head.done():
            self._head.set_exception(failure)
            self._head.exception()  # retrieved: the waiters get their own copy

    def _wake(self) -> None:
        for reader in tuple(self._readers):
            reader.wake()

    async def join(self) -> Response:
        """The response, with a body of one's own. Raises the failure of the call."""
        self._was_joined = True
        reader = FlightReader(self, found=self._received)
        self._readers.append(reader)
        try:
            while not self._head.done():
                await reader.until_woken()  # a future of its own: this exchange may be cancelled, the head may not
            head = self._head.result()
        except asyncio.CancelledError:
            self.leave(reader)
            raise
        except Exception as failure:
            self.leave(reader)
            raise _copy(failure) from failure
        if isinstance(head.body, bytes):
            self.leave(reader)
            return Response(head.status, list(head.headers), head.body, head.content_length)
        return Response(head.status, list(head.headers), reader, head.content_length)

    @property
    def is_over(self) -> bool:
        """Nothing more will be received."""
        return self._ended

    def failure(self) -> ExchangeError | None:
        """Why it ended badly, for one reader."""
        return None if self._failure is None else _copy(self._failure)

    def leave(self, reader: "FlightReader") -> None:
        """A reader has enough. The last one to leave ends the flight, once its head has come: before that the call
        cannot be taken back, and whoever asks the same again meanwhile joins it."""
        if reader not in self._readers:
            return
        self._readers.remove(reader)
        if not self._readers and not self._ended and self._head.done() and self._task is not None:
            self.joinable = False
            self._task.cancel()
        self.taken(reader.taken)


class FlightReader(Body, Pours):
    """One exchange's view of the flight: a Body."""

    def __init__(self, flight: Flight, *, found: int) -> None:
        self._flight = flight
        self._wakeup: asyncio.Future[None] | None = None
        self._take: Callable[[bytes], bool] | None = None
        self._is_full = False  # whoever takes the pieces wants no more for now
        self._cut_off = False
        self.found = found  # bytes that had come before this reader
        self.position = 0  # chunks taken
        self.taken = 0  # bytes taken

    async def read(self) -> bytes | None:
        while (chunk := self._next()) is None:
            if self._is_at_end():
                return None
            await self.until_woken()
        return chunk

    async def pour(self, take: Callable[[bytes], bool]) -> bool:
        """See proxy.exchange.model.Pours."""
        self._take = take
        try:
            while True:
                while (chunk := self._next()) is not None:
                    if not take(chunk):
                        return False
                if self._is_at_end():
                    return True
                await self.until_woken()
                if self._is_full:
                    return False
        finally:
            self._take = None
            self._is_full = False

    def _next(self) -> bytes | None:
        if self._cut_off:
            raise UpstreamError("reader_too_slow", "this client read too slowly for a shared answer")
        history = self._flight.history
        index = self.position - history.first
        if index < 0:
            chunk, self.position = history.past(self.position, self.taken)
        elif index < len(history.live):
            chunk = history.live[index]
            self.position += 1
        else:
            return None
        self.taken += len(chunk)
        self._flight.taken(self.taken)
        return chunk

    def _is_at_end(self) -> bool:
        if not self._flight.is_over:
            return False
        if (failure := self._flight.failure()) is not None:
            raise failure
        return True

    def until_woken(self) -> asyncio.Future[None]:
        """Until something came that is not handed on at once."""
        self._wakeup = asyncio.get_running_loop().create_future()
        return self._wakeup

    def wake(self) -> None:
        """Something came: hand it on at once, if there is room for it."""
        if self._wakeup is None or self._wakeup.done():
            return
        take = self._take
        if take is not None and not self._cut_off:
            while not self._is_full and (chunk := self._next()) is not None:
                self._is_full = not take(chunk)
        if take is None or self._is_full or self._cut_off or self._flight.is_over:
            self._wakeup.set_result(None)

    def cut_off(self) -> None:
        """Too far behind: this reader's next read fails."""
        self._cut_off = True
        self._flight.leave(self)
        self.wake()

    async def aclose(self) -> None:
        self._flight.leave(self)


def _copy(failure: BaseException) -> ExchangeError:
    """The same failure, with a traceback of its own for each reader."""
    match failure:
        case UpstreamError(sent=sent):
            return UpstreamError(failure.code, failure.message, status=failure.status, sent=sent)
        case Refusal():
            return Refusal(failure.code, failure.message, status=failure.status)
        case ExchangeError():
            return ExchangeError(failure.code, failure.message, status=failure.status)
        case _:
            return ExchangeError("internal_error", "Skinflint failed to handle this call", status=500)
