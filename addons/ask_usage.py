"""ask_usage: makes streams report their usage that would not, and takes the added event out again.

Stands below collapse, so that fingerprints see the client's own request. What is stored and sent lacks the added event;
the usage reader still gets it. `cost.ask_usage: false` turns this off.
"""

from collections.abc import Callable

from proxy.exchange.chain import Handler
from proxy.exchange.errors import UpstreamError
from proxy.exchange.forward import pour
from proxy.exchange.headers import first, text, without
from proxy.exchange.model import Body, Exchange, Pours, Response
from proxy.exchange.provider import Provider
from proxy.wire.sse import BLANK_LINE, MAX_EVENT_BYTES


class AskUsage:
    """The stage."""

    name = "ask_usage"

    def __init__(self, *, enabled: bool) -> None:
        self._enabled = enabled

    def concerns(self, exchange: Exchange) -> bool:
        """See proxy.exchange.chain.Choosy."""
        return self._enabled and exchange.facts.stream and not exchange.facts.asks_usage

    async def handle(self, exchange: Exchange, call_next: Handler) -> Response:
        provider, request = exchange.provider, exchange.request
        if (
            not self.concerns(exchange)
            or provider is None
            or exchange.json is None
            or not isinstance(request.body, bytes)
            or first(request.headers, b"content-encoding")
        ):
            return await call_next(exchange)
        changed = provider.ask_usage(exchange.operation, request.body, exchange.json)
        if changed is None:
            return await call_next(exchange)
        headers = [*without(request.headers, (b"accept-encoding",)), (b"accept-encoding", b"identity")]
        original, exchange.request = request, request.changed(headers, changed)
        try:
            response = await call_next(exchange)
        finally:
            exchange.request = original
        is_stream = text(response.headers, b"content-type").startswith("text/event-stream")
        if isinstance(response.body, bytes) or not is_stream or first(response.headers, b"content-encoding"):
            return response
        return Response(response.status, response.headers, WithoutAddedUsage(response.body, provider, exchange))


class WithoutAddedUsage(Body, Pours):
    """A stream without the event that was added; every other byte stays. Passes whole events as they become whole."""

    def __init__(self, body: Body, provider: Provider, exchange: Exchange) -> None:
        self._body = body
        self._provider = provider
        self._exchange = exchange
        self._filter = EventFilter(self._is_added)
        self._failure: UpstreamError | None = None
        self._is_over = False
        self._take: Callable[[bytes], bool] | None = None

    async def read(self) -> bytes | None:
        while not self._is_over:
            kept = self._kept(await self._next())
            if kept:
                return kept
        if self._failure is not None:
            raise self._failure
        return None

    async def _next(self) -> bytes | None:
        """The next piece. At the end, good or bad, what is held back goes out first."""
        try:
            chunk = await self._body.read()
        except UpstreamError as failure:
            self._failure, chunk = failure, None
        self._is_over = chunk is None
        return chunk

    async def pour(self, take: Callable[[bytes], bool]) -> bool:
        """See proxy.exchange.model.Pours."""
        self._take = take
        while not self._is_over:
            try:
                if not await pour(self._body, self._take_kept):
                    return False
            except UpstreamError as failure:
                self._failure = failure
            self._is_over = True
            if (rest := self._filter.rest()) and not take(rest):
                return False
        if self._failure is not None:
            raise self._failure
        return True

    def _take_kept(self, chunk: bytes) -> bool:
        kept = self._kept(chunk)
        return self._take is None or not kept or self._take(kept)

    def _kept(self, chunk: bytes | None) -> bytes:
        """What is to be sent on of this piece; at the end, of what was held back."""
        if chunk is None:
            return self._filter.rest()
        if self._filter.is_between_events and chunk.endswith(b"\n\n") and _holds_no_usage(chunk):
            return chunk
        return self._filter.feed(chunk)

    def _is_added(self, event: bytes) -> bool:
        if b'"usage"' not in event or not self._provider.is_added_usage(event):
            return False
        call = self._exchange.call
        if call is not None and call.reader is not None:
            call.reader.feed(event + b"\n\n")
        return True

    async def aclose(self) -> None:
        await self._body.aclose()


def _holds_no_usage(events: bytes) -> bool:
    """Whole events of which none reports usage: nearly all of them, so this is what a streamed event costs here."""
    return events.count(b'"usage"') == events.count(b'"usage":null')


class EventFilter:
    """Takes single server-sent events out of a stream, wherever it is cut, with the blank line that ends them.

    `is_unwanted` is asked about each event, without line ends around it. An event that grows beyond `limit_bytes` is
    passed unasked, and so is everything after it.
    """

    def __init__(self, is_unwanted: Callable[[bytes], bool], limit_bytes: int = MAX_EVENT_BYTES) -> None:
        self._is_unwanted = is_unwanted
        self._limit = limit_bytes
        self._pending = bytearray()
        self._scanned = 0  # bytes of `_pending` in which no blank line ends
        self._keeps_lf: bool | None = None  # the last blank line ended in CR: what becomes of a LF that comes now
        self._passes_all = False

    @property
    def is_between_events(self) -> bool:
        """Nothing is held back, and nothing that comes can belong to what went before."""
        return not self._pending and self._keeps_lf is None

    def feed(self, chunk: bytes) -> bytes:
        """What is to be sent on now."""
        if self._passes_all:
            return chunk
        kept: list[bytes] = []
        if self._keeps_lf is not None and chunk.startswith(b"\n"):
            if self._keeps_lf:
                kept.append(b"\n")
            chunk = chunk[1:]
        self._keeps_lf = None
        self._pending += chunk
        start = 0
        for blank_line in BLANK_LINE.finditer(self._pending, max(self._scanned - 3, 0)):
            event = bytes(self._pending[start : blank_line.end()])
            if len(event) > self._limit:
                break
            is_kept = not self._is_unwanted(event.strip(b"\r\n"))
            if is_kept:
                kept.append(event)
            start = blank_line.end()
            if start == len(self._pending) and event.endswith(b"\r"):
                self._keeps_lf = is_kept
        del self._pending[:start]
        self._scanned = len(self._pending)
        if self._scanned > self._limit:
            self._passes_all = True
            kept.append(self.rest())
        return b"".join(kept)

    def rest(self) -> bytes:
        """What has been held back."""
        rest = bytes(self._pending)
        self._pending.clear()
        return rest
