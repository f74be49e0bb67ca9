"""ask_usage: makes streams report their usage that would not, and takes the added event out again.

Stands below collapse, so that fingerprints see the client's own request. What is stored and sent lacks the added event;
the usage reader still gets it. `cost.ask_usage: false` turns this off.
"""

from dataclasses import replace

from proxy.exchange.chain import Handler
from proxy.exchange.headers import first, text, without
from proxy.exchange.model import Body, Exchange, Response
from proxy.exchange.provider import Provider
from proxy.wire.sse import SseSplitter


class AskUsage:
    """The stage."""

    name = "ask_usage"

    def __init__(self, *, enabled: bool) -> None:
        self._enabled = enabled

    async def handle(self, exchange: Exchange, call_next: Handler) -> Response:
        provider, request, facts = exchange.provider, exchange.request, exchange.facts
        if (
            not self._enabled
            or provider is None
            or not facts.stream
            or facts.asks_usage
            or exchange.json is None
            or not isinstance(request.body, bytes)
            or first(request.headers, b"content-encoding")
        ):
            return await call_next(exchange)
        changed = provider.ask_usage(exchange.operation, request.body, exchange.json)
        if changed is None:
            return await call_next(exchange)
        headers = [*without(request.headers, (b"accept-encoding",)), (b"accept-encoding", b"identity")]
        original, exchange.request = request, replace(request, body=changed, headers=headers)
        try:
            response = await call_next(exchange)
        finally:
            exchange.request = original
        is_stream = text(response.headers, b"content-type").startswith("text/event-stream")
        if isinstance(response.body, bytes) or not is_stream or first(response.headers, b"content-encoding"):
            return response
        return Response(response.status, response.headers, WithoutAddedUsage(response.body, provider, exchange))


class WithoutAddedUsage(Body):
    """A stream's events without the one that was added. Passes whole events only."""

    def __init__(self, body: Body, provider: Provider, exchange: Exchange) -> None:
        self._body = body
        self._provider = provider
        self._exchange = exchange
        self._splitter = SseSplitter()
        self._rest_given = False

    async def read(self) -> bytes | None:
        while (chunk := await self._body.read()) is not None:
            kept = self._without(chunk)
            if kept:
                return kept
        if not self._rest_given:
            self._rest_given = True
            return self._splitter.rest() or None
        return None

    def _without(self, chunk: bytes) -> bytes:
        events = self._splitter.feed(chunk)
        kept = []
        for event in events:
            if b'"usage"' in event and self._provider.is_added_usage(event):
                self._give_to_reader(event + b"\n\n")
            else:
                kept.append(event + b"\n\n")
        return b"".join(kept)

    def _give_to_reader(self, event: bytes) -> None:
        call = self._exchange.call
        if call is not None and call.reader is not None:
            call.reader.feed(event)

    async def aclose(self) -> None:
        await self._body.aclose()
