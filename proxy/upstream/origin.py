"""One origin's connections: lanes of HTTP/2 streams, or one HTTP/1.1 client that keeps its connections alive.

A lane is one pyreqwest client, and such a client holds exactly one HTTP/2 connection to an origin: calls beyond the
server's stream limit would wait inside it. So a lane takes only so many calls at once, and the next lane is opened
before that. What the origin speaks, and how many streams it allows, is learned from the first answer, or from a probe
of its own handshake when a second call comes before the first answer.
"""

import asyncio
import time
from dataclasses import dataclass, field
from datetime import timedelta

from pyreqwest.client import Client, ClientBuilder
from pyreqwest.proxy import ProxyBuilder

from config.schema import Upstream

HTTP1 = "HTTP/1.1"
HTTP2 = "HTTP/2"
_SLACK_S = 1.0
_UNPROBED_STREAMS = 8  # a sidecar's usual traffic never needs to know the limit; no server allows fewer


@dataclass(slots=True)
class Lane:
    """One client: at most one HTTP/2 connection, or a set of HTTP/1.1 connections."""

    client: Client
    is_guessing: bool = False  # told neither to speak HTTP/2 nor not: until an answer, each call opens a connection
    in_flight: int = 0
    opened: bool = False  # an answer has come through it
    idle_since: float = field(default_factory=time.monotonic)


@dataclass(slots=True)
class Origin:
    """Everything the pool knows of one scheme, host and port."""

    scheme: str
    host: str
    port: int
    protocol: str = ""  # HTTP1, HTTP2, or "" before it is known
    stream_limit: int = 0  # what the origin allows on one connection; 0 before it is known
    probing: bool = False
    probe_failed: bool = False  # since anything was last learned
    known: asyncio.Event = field(default_factory=asyncio.Event)
    lanes: list[Lane] = field(default_factory=list)
    last_used: float = field(default_factory=time.monotonic)
    waiting: int = 0  # calls that wait for a free lane
    freed: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def name(self) -> str:
        """`host:port`, the metrics' label."""
        return f"{self.host}:{self.port}"

    @property
    def in_flight(self) -> int:
        """Calls under way."""
        return sum(lane.in_flight for lane in self.lanes)

    @property
    def is_busy(self) -> bool:
        """A call is under way, or about to be."""
        return self.in_flight > 0 or self.waiting > 0 or self.probing

    @property
    def is_unclear(self) -> bool:
        """True when another call should wait for a probe: it is not known what the origin speaks, or there are so many
        calls that its stream limit matters, and it is not known."""
        if self.probe_failed:
            return False
        if not self.protocol:
            return bool(self.lanes)
        return self.protocol == HTTP2 and not self.stream_limit and self.in_flight >= _UNPROBED_STREAMS

    def learn(self, protocol: str, stream_limit: int = 0) -> None:
        """What an answer or a probe showed."""
        self.protocol = protocol
        self.probe_failed = False
        if stream_limit:
            self.stream_limit = stream_limit
        self.known.set()

    def streams_per_lane(self, configured: int) -> int:
        """How many calls a lane takes: a tenth below what the origin allows, so that no call ever waits in it."""
        if not self.stream_limit:
            return configured
        return max(1, min(configured, self.stream_limit - self.stream_limit // 10))

    def find(self, settings: Upstream) -> Lane | None:
        """A lane with room. Fills lanes in order, so that the last ones fall idle and can be closed."""
        room = self.streams_per_lane(settings.streams_per_connection)
        if self.protocol != HTTP2:
            room = settings.max_connections
        for lane in self.lanes:
            if lane.is_guessing and not lane.opened and self.protocol == HTTP2:
                continue
            if lane.in_flight < room:
                return lane
        return None

    def may_open(self, settings: Upstream) -> bool:
        """True when another lane may be opened. An HTTP/1.1 origin has one lane with many connections."""
        return not self.lanes or (self.protocol == HTTP2 and len(self.lanes) < settings.max_connections)


def open_lane(settings: Upstream, origin: Origin, address: tuple[str, int] | None) -> Lane:
    """Another lane. Certificates are always verified; nothing is decoded, followed or added."""
    builder = (
        ClientBuilder()
        .gzip(False)
        .brotli(False)
        .zstd(False)
        .deflate(False)
        .follow_redirects(False)
        .referer(False)
        .no_proxy()
        .timeout(timedelta(seconds=settings.total_timeout_s))
        # Our own deadlines come first and answer the client; but only this one takes a silent call off its connection,
        # which would stay open for as long as a whole call may take.
        .read_timeout(timedelta(seconds=max(settings.first_byte_timeout_s, settings.idle_timeout_s) + _SLACK_S))
        .connect_timeout(timedelta(seconds=settings.connect_timeout_s))
        .pool_idle_timeout(timedelta(seconds=settings.keepalive_s))
        .tcp_nodelay(True)
        .tcp_keepalive(timedelta(seconds=30))
    )
    if settings.http2 and origin.scheme == "https":
        # Windows: 100 ms of round trip at 100 Mbit/s on a stream, and many streams on a connection.
        builder = (
            builder.http2(True)
            .http2_initial_stream_window_size(2 * 1024 * 1024)
            .http2_initial_connection_window_size(16 * 1024 * 1024)
            .http2_keep_alive_interval(timedelta(seconds=20))
            .http2_keep_alive_timeout(timedelta(seconds=20))
        )
        if origin.protocol == HTTP2:
            builder = builder.http2_prior_knowledge()
    for path in settings.extra_ca:
        builder = builder.add_root_certificate_pem(path.read_bytes())
    if settings.proxy is not None:
        builder = builder.proxy(ProxyBuilder.all(settings.proxy).no_proxy(settings.no_proxy))
    if address is not None:
        builder = builder.resolve(origin.host, *address)
    lane = Lane(builder.build(), is_guessing=origin.scheme == "https" and not origin.protocol)
    origin.lanes.append(lane)
    return lane
