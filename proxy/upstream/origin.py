"""One origin: what it speaks, and its lanes.

A lane is one HTTP/2 connection, or the set of connections to an origin that speaks HTTP/1.1. It takes only so many
calls at once, a tenth below what the origin allows, so that no call ever waits inside it; the next lane is opened
before that. What the origin speaks shows in the first handshake, how many streams it allows in the settings after it.
"""

import asyncio
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from config.schema import Upstream
from proxy.exchange.errors import UpstreamError
from proxy.exchange.model import Request, Response

HTTP1: Final = "HTTP/1.1"
HTTP2: Final = "HTTP/2"
_UNSETTLED_STREAMS: Final = 8  # until the origin's settings have come: no server allows fewer


class Lane(ABC):
    """One way to an origin. The pool counts its calls."""

    def __init__(self) -> None:
        self.in_flight = 0
        self.idle_since = time.monotonic()

    @property
    @abstractmethod
    def is_usable(self) -> bool:
        """New calls may go this way."""

    @property
    @abstractmethod
    def is_open(self) -> bool:
        """There is a connection."""

    @property
    @abstractmethod
    def stream_limit(self) -> int | None:
        """How many calls the origin allows at once; None before it has said so."""

    @abstractmethod
    async def send(self, request: Request, *, buffered: bool, done: Callable[[], None]) -> Response:
        """One attempt; `done` runs once, when the call has ended in any way. Raises UpstreamError."""

    @abstractmethod
    def check(self, now: float) -> None:
        """Once a second: deadlines."""

    @abstractmethod
    async def close(self) -> None:
        """Close it. Calls under way end with UpstreamError."""


@dataclass(slots=True)
class Origin:
    """Everything the pool knows of one scheme, host and port."""

    scheme: str
    host: str
    port: int
    protocol: str = ""  # HTTP1, HTTP2, or "" before it is known
    lanes: list[Lane] = field(default_factory=list)
    last_used: float = field(default_factory=time.monotonic)
    dialing: int = 0  # connections that are being made
    waiting: int = 0  # calls that wait for a lane
    changed: asyncio.Event = field(default_factory=asyncio.Event)  # set when it is worth looking again
    failures: int = 0  # connections that could not be made
    failure: UpstreamError | None = None  # the last of them

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
        return self.in_flight > 0 or self.waiting > 0 or self.dialing > 0

    def learn(self, protocol: str) -> None:
        """What a handshake showed."""
        self.protocol = protocol
        self.changed.set()

    def room(self, lane: Lane, settings: Upstream) -> int:
        """How many calls a lane takes."""
        if self.protocol != HTTP2:
            return settings.max_connections
        limit = lane.stream_limit
        if limit is None:
            return min(settings.streams_per_connection, _UNSETTLED_STREAMS)
        return max(1, min(settings.streams_per_connection, limit - limit // 10))

    def find(self, settings: Upstream) -> Lane | None:
        """A lane with room. Fills lanes in order, so that the last ones fall idle and can be closed."""
        for lane in self.lanes:
            if lane.is_usable and lane.in_flight < self.room(lane, settings):
                return lane
        return None

    def may_open(self, settings: Upstream) -> bool:
        """True when another connection should be made for the calls that wait. An HTTP/1.1 origin has one lane."""
        usable = [lane for lane in self.lanes if lane.is_usable]
        if self.protocol == HTTP1:
            return not usable
        if any(lane.stream_limit is None for lane in usable):
            return False  # its settings are on their way
        if len(usable) + self.dialing >= settings.max_connections:
            return False
        expected = self.dialing * (self.room(usable[0], settings) if usable else _UNSETTLED_STREAMS)
        return not self.dialing or (bool(usable) and self.waiting > expected)
