"""observe: stands where the upstream call begins, and watches it: when it began, its usage, whether it was complete.

Everything above may be many exchanges sharing one call; everything below is one call. Taps of the stages above are
opened here, once the head has arrived.
"""

import asyncio
import time
from collections.abc import Coroutine
from dataclasses import replace

from proxy.exchange.chain import Handler
from proxy.exchange.forward import show, show_end
from proxy.exchange.headers import text
from proxy.exchange.model import Ending, Exchange, Response, Tap, UpstreamCall
from proxy.exchange.provider import UsageReader
from proxy.exchange.usage import Usage
from proxy.tasks import TaskSet
from proxy.wire.coding import CodingError, Decoder, decoder

_BYTES_PER_TOKEN = 4  # about, in most languages


class Observe:
    """The stage."""

    name = "observe"

    def __init__(self, tasks: TaskSet) -> None:
        self._tasks = tasks

    def handle(self, exchange: Exchange, call_next: Handler) -> Coroutine[object, object, Response]:
        """The call has a task of its own: an origin that has read a request goes on answering, and charges, whoever has
        left. Such a call runs to its head: an answer in one piece is then counted and kept like any other, a stream is
        given up. A flight has such a task already."""
        return (self._apart if exchange.history is None else self._call)(exchange, call_next)

    async def _apart(self, exchange: Exchange, call_next: Handler) -> Response:
        answer: asyncio.Future[Response] = asyncio.get_running_loop().create_future()
        self._tasks.spawn(self._call_for(answer, exchange, call_next), name="upstream call")
        try:
            return await answer
        except asyncio.CancelledError:
            # It may have come in the same turn of the loop in which the client left: then nobody else closes it.
            if answer.done() and not answer.cancelled() and answer.exception() is None:
                await _give_up(answer.result())
            raise

    async def _call_for(self, answer: asyncio.Future[Response], exchange: Exchange, call_next: Handler) -> None:
        try:
            response = await self._call(exchange, call_next)
        except asyncio.CancelledError:
            answer.cancel()
            raise
        except Exception as failure:  # noqa: BLE001 - handed on to whoever waits
            if not answer.cancelled():
                answer.set_exception(failure)
            return
        if answer.cancelled():
            await _give_up(response)
        else:
            answer.set_result(response)

    async def _call(self, exchange: Exchange, call_next: Handler) -> Response:
        call = exchange.call = UpstreamCall(started_at=time.monotonic())
        try:
            response = await call_next(exchange)
            self._open_taps(exchange, call, response)
        except (Exception, asyncio.CancelledError) as failure:
            exchange.watchers = []
            if isinstance(failure, asyncio.CancelledError):
                call.usage = _owed(exchange)
            call.end(time.monotonic())
            raise
        return response

    def _open_taps(self, exchange: Exchange, call: UpstreamCall, response: Response) -> None:
        call.status = response.status
        call.first_byte_at = time.monotonic()
        taps: list[Tap] = [self._call_tap(exchange, call, response)]
        # Watchers know their exchange: kept any longer, they would keep it, its body and themselves until a collection.
        watchers, exchange.watchers = exchange.watchers, []
        taps += [tap for watch in watchers if (tap := watch(response)) is not None]
        if isinstance(response.body, bytes):
            if response.body:
                show(taps, response.body)
            show_end(taps, Ending.COMPLETE)
        else:
            response.taps = taps

    def _call_tap(self, exchange: Exchange, call: UpstreamCall, response: Response) -> Tap:
        provider = exchange.provider
        reader, coding, named = None, None, ""
        if provider is not None:
            content_type = text(response.headers, b"content-type")
            reader = provider.usage_reader(exchange.operation, exchange.facts, content_type)
            if named := text(response.headers, b"content-encoding"):
                coding = decoder(named)
        call.reader = reader
        is_readable = coding is not None or not named
        return CallTap(call, reader if is_readable else None, coding, request_bytes=_request_bytes(exchange))


class CallTap:
    """Reads usage and completeness off the bytes of one answer, and ends its call."""

    def __init__(
        self, call: UpstreamCall, reader: UsageReader | None, coding: Decoder | None, *, request_bytes: int
    ) -> None:
        self._call = call
        self._reader = reader
        self._coding = coding  # None: the bytes are plain
        self._request_bytes = request_bytes
        self._events = 0

    def feed(self, chunk: bytes) -> None:
        self._call.bytes_received += len(chunk)
        if self._reader is None:
            return
        plain = chunk
        if self._coding is not None:
            try:
                plain = self._coding.decode(chunk)
            except CodingError:
                self._reader = None
                return
        self._events += plain.count(b"\n\n")
        self._reader.feed(plain)

    def end(self, ending: Ending) -> None:
        try:
            self._conclude(ending)
        finally:
            self._call.end(time.monotonic())  # who waits for the call's end must not wait for ever

    def _conclude(self, ending: Ending) -> None:
        call, reader = self._call, self._reader
        success = 200 <= call.status < 300
        if reader is not None:
            call.usage = reader.usage()
            call.complete = success and ending is Ending.COMPLETE and reader.is_complete() and self._is_decoded()
        else:
            call.complete = success and ending is Ending.COMPLETE and call.reader is None
        if call.usage is None and success and ending is not Ending.COMPLETE and call.reader is not None:
            call.usage = self._estimate()
        elif call.usage is not None and ending is not Ending.COMPLETE:
            call.usage = _estimated(call.usage, self._events)

    def _is_decoded(self) -> bool:
        """The content coding has ended too: its checksum may be missing where the text is whole."""
        try:
            return self._coding is None or not self._coding.flush()
        except CodingError:
            return False

    def _estimate(self) -> Usage:
        """A cut-off answer reported nothing: about four bytes a token asked, about one token an event answered."""
        return Usage(input_tokens=self._request_bytes // _BYTES_PER_TOKEN, output_tokens=self._events, estimated=True)


async def _give_up(response: Response) -> None:
    if not isinstance(response.body, bytes):
        show_end(response.taps, Ending.ABANDONED)
        await response.body.aclose()


def _request_bytes(exchange: Exchange) -> int:
    body = exchange.request.body
    return len(body) if isinstance(body, bytes) else 0


def _owed(exchange: Exchange) -> Usage | None:
    """What a call costs at least that was given up before its head: providers charge for what they have read."""
    if exchange.provider is None or not exchange.operation.answers or not exchange.operation.json_request:
        return None
    return Usage(input_tokens=_request_bytes(exchange) // _BYTES_PER_TOKEN, estimated=True)


def _estimated(usage: Usage, events: int) -> Usage:
    return replace(usage, output_tokens=max(usage.output_tokens, events), estimated=True)
