"""ask_usage: makes streams report their usage that would not, and takes the added event out again.

Stands below collapse, so that fingerprints see the client's own request. What is stored and sent lacks the added event;
the usage reader still gets it. `cost.ask_usage: false` turns this off.
"""

import re
from dataclasses import replace

from proxy.exchange.chain import Handler
from proxy.exchange.headers import first, text, without
from proxy.exchange.model import Body, Exchange, Response
from proxy.exchange.provider import Provider

_BOUNDARY = re.compile(rb"\n\n|\r\n\r\n|\r\r")
_MAX_EVENT = 1_048_576


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
    """A stream's events without the one that was added, their bytes as they came. Passes whole events only; an event
    that grows past a bound ends the filtering, not the stream."""

    def __init__(self, body: Body, provider: Provider, exchange: Exchange) -> None:
        self._body = body
        self._provider = provider
        self._exchange = exchange
        self._rest = b""
        self._given_up = False

    async def read(self) -> bytes | None:
        while (chunk := await self._body.read()) is not None:
            if self._given_up:
                return chunk
            if kept := self._without(chunk):
                return kept
        rest, self._rest = self._rest, b""
        return rest or None

    def _without(self, chunk: bytes) -> bytes:
        waiting = self._rest + chunk
        kept, start = [], 0
        for boundary in _BOUNDARY.finditer(waiting):
            event = waiting[start : boundary.end()]
            start = boundary.end()
            if event.find(b'"usage"') >= 0 and self._provider.is_added_usage(event.rstrip(b"\r\n")):
                self._give_to_reader(event)
            else:
                kept.append(event)
        self._rest = waiting[start:]
        if len(self._rest) > _MAX_EVENT:
            self._given_up = True
            kept.append(self._rest)
            self._rest = b""
        return b"".join(kept)

    def _give_to_reader(self, event: bytes) -> None:
        call = self._exchange.call
        if call is not None and call.reader is not None:
            call.reader.feed(event)

    async def aclose(self) -> None:
        await self._body.aclose()
