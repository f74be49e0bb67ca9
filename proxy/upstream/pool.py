"""The pool: every call to a provider goes out through here, over connections that all clients share.

`send` makes one attempt; retrying is a stage's business. Answers to calls that do not stream can be read in one go
(`buffered`), which costs half. Closing waits for pyreqwest's own shutdown: an interpreter that exits before it, aborts.
"""

import asyncio
import ssl
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass

import certifi
from pyreqwest.exceptions import PyreqwestError
from pyreqwest.request import RequestBuilder
from pyreqwest.response import Response as WireResponse

from config.schema import Upstream
from proxy.exchange.errors import UpstreamError
from proxy.exchange.headers import HOP_BY_HOP
from proxy.exchange.model import Body, Request, Response
from proxy.tasks import TaskSet
from proxy.upstream.body import UpstreamBody
from proxy.upstream.dial import Dialer
from proxy.upstream.failures import translate
from proxy.upstream.fields import fields_of, text_of
from proxy.upstream.origin import HTTP1, HTTP2, Lane, Origin, open_lane
from proxy.upstream.probe import probe
from proxy.upstream.resolver import Resolver
from proxy.upstream.sockets import open_connections

_NOT_RELAYED = HOP_BY_HOP | {b"content-length", b"host"}
_PROBE_S = 5.0
_CLOCK_S = 1.0


@dataclass(frozen=True, slots=True)
class OriginUse:
    """What the metrics show of one origin."""

    origin: str
    protocol: str
    connections: int
    in_flight: int
    waiting: int


class Pool:
    """Connections to all origins, for one settings snapshot."""

    def __init__(self, settings: Upstream, resolver: Resolver) -> None:
        self._settings = settings
        self._resolver = resolver
        self.dialer = Dialer(settings, resolver)
        self._origins: dict[tuple[str, str, int], Origin] = {}
        self._bodies: set[UpstreamBody] = set()
        self._tasks = TaskSet()
        self._closed = False
        self._tls: dict[tuple[str, ...], ssl.SSLContext] = {}

    def start(self) -> None:
        """Begin watching deadlines and idle lanes."""
        self._tasks.spawn(self._watch(), name="pool clock")

    async def send(self, request: Request, *, buffered: bool) -> Response:
        """One attempt. With `buffered`, the answer's body is bytes. Raises UpstreamError."""
        origin = self._origin(request)
        lane = await self._lane(origin)
        lane.in_flight += 1
        try:
            return await (self._consume(request, origin, lane) if buffered else self._stream(request, origin, lane))
        except PyreqwestError as failure:
            self._release(origin, lane)
            raise translate(failure) from failure
        except TimeoutError as failure:
            self._release(origin, lane)
            raise UpstreamError("http_response_timeout", "the origin took too long to answer", status=504) from failure
        except BaseException:
            self._release(origin, lane)
            raise

    async def _consume(self, request: Request, origin: Origin, lane: Lane) -> Response:
        async with asyncio.timeout(self._settings.first_byte_timeout_s):
            answer = await self._prepare(lane, request).build().send()
            body = (await answer.bytes()).to_bytes()
        self._opened(origin, lane, answer)
        headers, length = fields_of(answer)
        self._release(origin, lane)
        return Response(answer.status, headers, body, content_length=length)

    async def _stream(self, request: Request, origin: Origin, lane: Lane) -> Response:
        outgoing = self._prepare(lane, request).streamed_read_buffer_limit(0).build_streamed()
        async with asyncio.timeout(self._settings.first_byte_timeout_s):
            answer = await outgoing.__aenter__()
        self._opened(origin, lane, answer)
        try:
            headers, length = fields_of(answer)
        except BaseException:
            await outgoing.__aexit__(None, None, None)
            raise

        def closed(body: UpstreamBody) -> None:
            self._bodies.discard(body)
            self._release(origin, lane)

        deadline = time.monotonic() + self._settings.total_timeout_s
        body = UpstreamBody(outgoing, answer, deadline=deadline, on_close=closed)
        self._bodies.add(body)
        return Response(answer.status, headers, body, content_length=length)

    def _prepare(self, lane: Lane, request: Request) -> RequestBuilder:
        url = f"{request.scheme}://{request.authority}{request.target}"
        fields = [
            (name.decode("latin-1"), text_of(value)) for name, value in request.headers if name not in _NOT_RELAYED
        ]
        try:
            builder = lane.client.request(request.method, url).headers(fields)
            if not isinstance(request.body, bytes):
                return builder.body_stream(_pieces(request.body))
            if request.body or request.method in ("POST", "PUT", "PATCH"):
                return builder.body_bytes(request.body)
        except (PyreqwestError, ValueError) as failure:
            raise UpstreamError(
                "http_request_error", "the request cannot be sent as it is", status=400, sent=False
            ) from failure
        return builder

    def _origin(self, request: Request) -> Origin:
        key = (request.scheme, request.host, request.port)
        origin = self._origins.get(key)
        if origin is None:
            if len(self._origins) >= self._settings.max_origins:
                self._forget_one()
            origin = self._origins[key] = Origin(*key)
            if request.scheme == "http" or not self._settings.http2:
                origin.learn(HTTP1)
        origin.last_used = time.monotonic()
        return origin

    async def _lane(self, origin: Origin) -> Lane:
        """A lane with room. A first call opens one; the next ones wait until it is known what the origin speaks, and
        where many come at once, how many streams it allows."""
        while origin.is_unclear:
            origin.known.clear()
            if not origin.probing:
                origin.probing = True
                self._tasks.spawn(self._probe(origin), name="probe")
            await origin.known.wait()
        if (lane := await self._find_or_open(origin)) is not None:
            return lane
        origin.waiting += 1
        try:
            async with asyncio.timeout(self._settings.first_byte_timeout_s):
                while (lane := await self._find_or_open(origin)) is None:
                    origin.freed.clear()
                    await origin.freed.wait()
        except TimeoutError as failure:
            raise UpstreamError(
                "connection_limit_reached", "all connections to the origin were busy", status=503, sent=False
            ) from failure
        finally:
            origin.waiting -= 1
        return lane

    async def _find_or_open(self, origin: Origin) -> Lane | None:
        if self._closed:
            raise UpstreamError("connection_terminated", "Skinflint is stopping", status=503, sent=False)
        if (lane := origin.find(self._settings)) is not None or not origin.may_open(self._settings):
            return lane
        address = await self._resolver.address(origin.host, origin.port)
        if address is None:
            self._tasks.spawn(self._resolver.look_up(origin.host, origin.port), name="look up")
        # Another call may have opened one while DNS answered.
        return origin.find(self._settings) or open_lane(self._settings, origin, address)

    async def _probe(self, origin: Origin) -> None:
        try:
            reader, writer = await self.dialer.open(origin.host, origin.port, self.tls_context("h2", "http/1.1"))
            origin.learn(*await probe(reader, writer, _PROBE_S))
        except UpstreamError:
            origin.probe_failed = True  # the calls themselves will show what is wrong
        finally:
            origin.probing = False
            origin.known.set()

    def tls_context(self, *protocols: str) -> ssl.SSLContext:
        """Verification for connections that are relayed or probed: the system's roots and `upstream.extra_ca`."""
        context = self._tls.get(protocols)
        if context is None:
            context = ssl.create_default_context()
            context.load_verify_locations(certifi.where())
            for path in self._settings.extra_ca:
                context.load_verify_locations(path)
            context.set_alpn_protocols(list(protocols))
            self._tls[protocols] = context
        return context

    def _opened(self, origin: Origin, lane: Lane, answer: WireResponse) -> None:
        lane.opened = True
        if origin.waiting:
            origin.freed.set()
        if not origin.protocol:
            origin.learn(HTTP2 if answer.version.startswith("HTTP/2") else HTTP1)

    def _release(self, origin: Origin, lane: Lane) -> None:
        lane.in_flight -= 1
        if lane.in_flight == 0:
            lane.idle_since = time.monotonic()
        if not origin.protocol and not lane.opened:
            origin.known.set()  # the first call failed: let the others find out for themselves
        if origin.waiting:
            origin.freed.set()

    async def _watch(self) -> None:
        """Once a second: deadlines of bodies, lanes that fell idle, origins nobody calls any more."""
        while not self._closed:
            await asyncio.sleep(_CLOCK_S)
            now = time.monotonic()
            for body in list(self._bodies):
                body.check(now, self._settings.idle_timeout_s)
            for key, origin in list(self._origins.items()):
                for lane in self._idle_lanes(origin, now):
                    origin.lanes.remove(lane)
                    await lane.client.close()
                if not origin.lanes and now - origin.last_used > self._settings.keepalive_s:
                    self._origins.pop(key, None)  # it may have been forgotten meanwhile

    def _idle_lanes(self, origin: Origin, now: float) -> Iterator[Lane]:
        for lane in list(origin.lanes):
            if lane.in_flight == 0 and now - lane.idle_since > self._settings.keepalive_s:
                yield lane

    def _forget_one(self) -> None:
        idle = [(origin.last_used, key) for key, origin in self._origins.items() if not origin.is_busy]
        if not idle:
            raise UpstreamError("connection_limit_reached", "too many origins at once", status=503, sent=False)
        origin = self._origins.pop(min(idle)[1])
        self._tasks.spawn(_close_lanes(origin), name="close origin")

    def use(self) -> list[OriginUse]:
        """A line for each origin. Connections are the kernel's count where it can be had."""
        sockets = open_connections()
        lines = []
        for origin in self._origins.values():
            connections = len(origin.lanes) if sockets is None else self._count(origin, sockets)
            lines.append(
                OriginUse(origin.name, origin.protocol or "unknown", connections, origin.in_flight, origin.waiting)
            )
        return lines

    def _count(self, origin: Origin, sockets: Counter[tuple[str, int]]) -> int:
        """A lane is one HTTP/2 connection while the kernel has that many; of HTTP/1.1 connections only the kernel knows
        the number. Two origins behind one address and port cannot be told apart."""
        opened = sum(lane.opened for lane in origin.lanes)
        found = sum(sockets[address] for address in self._resolver.known_addresses(origin.host, origin.port))
        if origin.protocol == HTTP2:
            return min(opened, found) if found else opened
        return found or opened

    async def close(self) -> None:
        """Close everything. Calls under way end with UpstreamError."""
        self._closed = True
        for body in list(self._bodies):
            await body.aclose()
        await self._tasks.cancel()
        for origin in self._origins.values():
            await _close_lanes(origin)
        self._origins.clear()


async def _close_lanes(origin: Origin) -> None:
    for lane in origin.lanes:
        await lane.client.close()
    origin.lanes.clear()


async def _pieces(body: Body) -> AsyncIterator[bytes]:
    while (piece := await body.read()) is not None:
        yield piece
