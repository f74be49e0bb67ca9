"""The short way of calls that repeat a hit: looked for, answered and settled without a task, and without the chain.

Rules: HTTP/1.1 alone. What cannot be said at once goes through the chain; a failure here costs nothing but that. What
is known, and how it is known, is addons/repeats.py's business.
"""

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import structlog

from proxy.exchange.model import Exchange, Response
from proxy.exchange.repeats import Key, Repeats
from proxy.wire.events import Event, RequestData, RequestEnd, RequestHead
from proxy.wire.http1 import Http1Server

if TYPE_CHECKING:
    from proxy.edge.bridge import Snapshot
    from proxy.edge.connection import ClientConnection
    from proxy.edge.stream import ClientStream

log = structlog.get_logger(__name__)


class ShortWay:
    """See the module."""

    def __init__(
        self, snapshot: Callable[[], "Snapshot"], wall_clock: Callable[[], float], new_id: Callable[[], str]
    ) -> None:
        self._snapshot = snapshot
        self._wall_clock = wall_clock
        self._new_id = new_id

    def key_of(self, connection: "ClientConnection", events: list[Event]) -> Key | None:
        """Of a request that came in one piece, its place among the repeats."""
        if len(events) != 3:
            return None
        head, body, end = events
        if isinstance(head, RequestHead) and isinstance(body, RequestData) and isinstance(end, RequestEnd):
            return self.key(connection, head, body.data)
        return None

    def key(self, connection: "ClientConnection", head: RequestHead, body: bytes) -> Key | None:
        """The place among the repeats of a call that may be one; None where those are not used."""
        repeats, caller = self._snapshot().repeats, connection.caller
        if repeats is None or not isinstance(connection.codec, Http1Server) or not repeats.may_know(body):
            return None
        return repeats.key(caller, head, body) if caller is not None else None

    def replay(self, connection: "ClientConnection", key: Key) -> bool:
        """Answer a call that repeats a hit, and settle it. False when it has to go through the chain."""
        repeats, codec = self._snapshot().repeats, connection.codec
        now, wall_time = time.monotonic(), self._wall_clock()
        if repeats is None or not isinstance(codec, Http1Server):
            return False
        try:
            replay = repeats.find(key, wall_time)
        except Exception as failure:
            log.error("repeat_failed", error=type(failure).__name__, exc_info=failure)
            return False
        if replay is None or not codec.send_whole(replay.head, replay.body):
            return False
        first_byte_s = time.monotonic() - now
        connection.flush()
        labels = key[1]
        if connection.tenant.labels:
            labels = {**labels, **connection.tenant.labels}
        replay.settle(labels, self._new_id(), wall_time, first_byte_s, time.monotonic() - now)
        return True


def remember(repeats: Repeats, stream: "ClientStream", body: bytes, exchange: Exchange, response: Response) -> None:
    """A hit was answered by the chain: the next call that says the same may take the short way."""
    connection = stream.connection
    if connection.caller is None or not isinstance(connection.codec, Http1Server):
        return
    try:
        key = stream.key or repeats.key(connection.caller, stream.head, body)
        if key is not None:
            repeats.remember(key, exchange, response)
    except Exception as failure:
        log.error("repeat_failed", error=type(failure).__name__, exc_info=failure)
