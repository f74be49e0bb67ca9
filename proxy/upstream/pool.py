"""The pool: every call to a provider goes out through here, over connections that all clients share.

`send` makes one attempt; retrying is a stage's business. Connections are made by the pool itself, not by the calls that
need them: a call that is given up leaves a connection that the next one finds.
"""

import asyncio
import functools
import ssl
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

import certifi

from config.schema import Upstream
from proxy.exchange.errors import UpstreamError
from proxy.exchange.model import Request, Response
from proxy.tasks import TaskSet
from proxy.upstream.dial import Dialer
from proxy.upstream.guard import UNGUARDED, Guard
from proxy.upstream.http1_lane import Http1Lane
from proxy.upstream.http2_lane import Http2Lane
from proxy.upstream.origin import HTTP1, HTTP2, Lane, Origin
from proxy.upstream.resolver import Resolver
from proxy.upstream.sockets import open_connections

_CLOCK_S = 1.0
_JUDGED_FOR_S = 60.0  # an address that was looked up and judged; names move


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

    def __init__(self, settings: Upstream, resolver: Resolver, guard: Guard = UNGUARDED) -> None:
        self._settings = settings
        self._resolver = resolver
        self.dialer = Dialer(settings, resolver, guard)
        self._origins: dict[tuple[str, str, int], Origin] = {}
        self._tasks = TaskSet()
        self._closed = False
        self._tls: dict[tuple[str, ...], ssl.SSLContext] = {}

    def start(self) -> None:
        """Begin watching deadlines and idle lanes."""
        self._tasks.spawn(self._watch(), name="pool clock")

    async def send(self, request: Request, *, buffered: bool) -> Response:
        """One attempt. With `buffered`, the answer's body is bytes. Raises UpstreamError.

        A stream that the origin refused, or that a graceful GOAWAY left undone, was surely not processed: the call goes
        out a second time at once, on whatever connection there is then.
        """
        origin = self._origin(request)
        is_second = False
        while True:
            try:
                lane = origin.find(self._settings) or await self._lane(origin)
                lane.in_flight += 1
                release = functools.partial(self._release, origin, lane)
                return await lane.send(request, buffered=buffered, done=release)
            except UpstreamError as failure:
                if is_second or failure.sent or failure.code != "connection_terminated" or self._closed:
                    raise
                if not isinstance(request.body, bytes):
                    raise  # it cannot be read twice
            is_second = True

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
        """A lane with room, once there is one. Raises UpstreamError when no connection can be made."""
        failures = origin.failures
        deadline = asyncio.get_running_loop().time() + self._settings.first_byte_timeout_s
        origin.waiting += 1
        try:
            while (lane := origin.find(self._settings)) is None:
                if self._closed:
                    raise _stopping()
                origin.changed.clear()
                if origin.may_open(self._settings):
                    origin.dialing += 1
                    self._tasks.spawn(self._open(origin), name="dial")
                async with asyncio.timeout_at(None if origin.dialing else deadline):  # connecting has its own
                    await origin.changed.wait()
                if origin.failures != failures and origin.failure is not None:
                    raise _copy(origin.failure)
        except TimeoutError as failure:
            raise UpstreamError(
                "connection_limit_reached", "all connections to the origin were busy", status=503, sent=False
            ) from failure
        finally:
            origin.waiting -= 1
        return lane

    async def _open(self, origin: Origin) -> None:
        """Another lane. Whoever waits is told, and looks again."""
        try:
            if origin.protocol != HTTP1:
                await self._dial(origin)
            if origin.protocol == HTTP1:
                origin.lanes.append(await self._http1_lane(origin))
        except UpstreamError as failure:
            origin.failures += 1
            origin.failure = failure
        finally:
            origin.dialing -= 1
            origin.changed.set()

    async def _http1_lane(self, origin: Origin) -> Http1Lane:
        dialer = self.dialer
        address = await dialer.address(origin.host, origin.port)
        if address is None:
            self._tasks.spawn(self._resolver.look_up(origin.host, origin.port), name="look up")
        if not dialer.is_guarded:
            return Http1Lane(self._settings, origin.host, address)
        settings = self._settings
        if not dialer.goes_through_proxy(origin.host):
            settings = settings.model_copy(update={"proxy": None})
        # What is not taken from the exempt hosts here must not be looked up and dialled by another's reading of them.
        settings = settings.model_copy(update={"no_proxy": None})
        return Http1Lane(settings, origin.host, address, usable_s=_JUDGED_FOR_S)

    async def _dial(self, origin: Origin) -> None:
        context = self.tls_context("h2", "http/1.1")
        connection, protocol = await self.dialer.open_http2(
            origin.host, origin.port, context, functools.partial(self._changed, origin)
        )
        if protocol == "h2":
            origin.lanes.append(Http2Lane(self._settings, connection, self._tasks))
            origin.learn(HTTP2)
        else:
            connection.close()  # what speaks HTTP/1.1 makes connections of its own
            origin.learn(HTTP1)

    def _changed(self, origin: Origin) -> None:
        """A connection has room, or none any more, or has ended."""
        origin.lanes[:] = [lane for lane in origin.lanes if lane.is_usable or lane.is_open]
        origin.changed.set()

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

    def _release(self, origin: Origin, lane: Lane) -> None:
        lane.in_flight -= 1
        if lane.in_flight == 0:
            lane.idle_since = time.monotonic()
        if origin.waiting:
            origin.changed.set()

    async def _watch(self) -> None:
        """Once a second: deadlines of bodies, lanes that fell idle, origins nobody calls any more."""
        while not self._closed:
            await asyncio.sleep(_CLOCK_S)
            now = time.monotonic()
            for key, origin in list(self._origins.items()):
                for lane in list(origin.lanes):
                    lane.check(now)
                for lane in self._idle_lanes(origin, now):
                    origin.lanes.remove(lane)
                    await lane.close()
                if not origin.is_busy and not origin.lanes and now - origin.last_used > self._settings.keepalive_s:
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
        """A lane is one HTTP/2 connection; of HTTP/1.1 connections only the kernel knows the number. Two origins behind
        one address and port cannot be told apart."""
        opened = sum(lane.is_open for lane in origin.lanes)
        if origin.protocol == HTTP2:
            return opened
        return sum(sockets[address] for address in self._resolver.known_addresses(origin.host, origin.port)) or opened

    async def close(self) -> None:
        """Close everything. Calls under way end with UpstreamError."""
        self._closed = True
        for origin in self._origins.values():
            origin.changed.set()
        await self._tasks.cancel()
        for origin in self._origins.values():
            await _close_lanes(origin)
        self._origins.clear()
        self._tls.clear()  # more than a megabyte each: failures of its calls may know this pool until a collection


async def _close_lanes(origin: Origin) -> None:
    lanes, origin.lanes = origin.lanes, []
    for lane in lanes:
        await lane.close()


def _stopping() -> UpstreamError:
    return UpstreamError("connection_terminated", "Skinflint is stopping", status=503, sent=False)


def _copy(failure: UpstreamError) -> UpstreamError:
    """For one of several calls: each needs a traceback of its own."""
    return UpstreamError(failure.code, failure.message, status=failure.status, sent=failure.sent)
