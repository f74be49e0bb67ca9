"""The load: connections that each ask again as soon as they have their answer.

Rules: connecting blocks and is never timed; a call that fails is counted with its reason, its connection is replaced,
and the run goes on, unless not even the first connections can be made. One thread, one epoll.
"""

import contextlib
import itertools
import select
import socket
import ssl
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from proxy.load.answer import AnswerReader
from proxy.load.calls import Calls
from proxy.load.destination import Origin
from proxy.load.figures import Counted

_CONNECT_S: Final = 10.0
_SILENCE_S: Final = 60.0
_PIECE: Final = 65_536


class LoadError(Exception):
    """No call can be made like this. The message is for the person who asked."""


class Refused(LoadError):
    """The proxy said no to CONNECT."""

    def __init__(self, head: str) -> None:
        super().__init__(f"the proxy refused: {head}")


@dataclass(frozen=True, slots=True)
class Way:
    """How a connection is made."""

    proxy: tuple[str, int]
    origin: Origin
    trust: ssl.SSLContext | None  # None: plain HTTP, asked of the proxy in absolute form


def connect(way: Way) -> socket.socket:
    """A connection that is ready for requests. Raises Refused, ssl.SSLError or OSError."""
    raw = socket.create_connection(way.proxy, timeout=_CONNECT_S)
    try:
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if way.trust is None:
            return raw
        _tunnel(raw, way.origin.authority)
        return way.trust.wrap_socket(raw, server_hostname=way.origin.host)
    except BaseException:
        raw.close()
        raise


def _tunnel(raw: socket.socket, authority: str) -> None:
    """CONNECT. Raises Refused or OSError."""
    raw.sendall(f"CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n\r\n".encode())
    answer = b""
    while b"\r\n\r\n" not in answer and len(answer) < _PIECE:
        if not (data := raw.recv(4096)):
            break
        answer += data
    if b" 200" not in answer.partition(b"\r\n")[0]:
        raise Refused(answer.partition(b"\r\n\r\n")[0].decode("latin-1").replace("\r\n", "; ") or "it closed")


def ask_once(way: Way, request: bytes) -> int:
    """One call by itself; returns its status. Raises LoadError, ssl.SSLError or OSError."""
    reader = AnswerReader()
    with contextlib.closing(connect(way)) as connection:
        connection.settimeout(_SILENCE_S)
        connection.sendall(request)
        while data := connection.recv(_PIECE):
            if reader.feed(data):
                return reader.status
    if reader.ended():
        return reader.status
    raise LoadError("the connection was closed before there was an answer")


@dataclass(slots=True)
class _Connection:
    wire: socket.socket
    reader: AnswerReader
    unsent: bytes = b""
    sent_at: int = 0
    first_byte_at: int = 0


class Drive:
    """See the module. Leaving it closes all connections."""

    def __init__(self, way: Way, calls: Calls, connections: int) -> None:
        """Raises LoadError, ssl.SSLError or OSError when the connections cannot be made."""
        self._way = way
        self._calls = calls
        self._numbers: Iterator[int] = itertools.count(time.time_ns() // 1_000_000)  # not those of an earlier run
        self._epoll = select.epoll()
        self._connections: dict[int, _Connection] = {}
        self._counted = Counted()
        self._left: int | None = None
        try:
            for _ in range(connections):
                self._add()
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> "Drive":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close everything."""
        for connection in self._connections.values():
            connection.wire.close()
        self._connections.clear()
        self._epoll.close()

    def run(self, seconds: float, limit: int | None = None) -> Counted:
        """One round: for so long, or until so many calls were made; calls that have begun are finished."""
        counted = self._counted = Counted()
        self._left = limit
        started = time.perf_counter()
        stop_at = time.perf_counter_ns() + int(seconds * 1e9)
        waiting = sum([self._begin(connection) for connection in list(self._connections.values())])
        while waiting:
            ready = self._epoll.poll(_SILENCE_S)
            if not ready:
                for _ in range(waiting):
                    counted.failed("no answer within a minute")
                break
            for descriptor, event in ready:
                connection = self._connections[descriptor]
                if self._turn(connection, event):
                    may_go_on = time.perf_counter_ns() < stop_at
                    current = self._replaced(connection) if connection.reader.is_last else connection
                    waiting -= not (may_go_on and current is not None and self._begin(current))
        counted.seconds = time.perf_counter() - started
        return counted

    def _add(self) -> _Connection:
        wire = connect(self._way)
        wire.setblocking(False)
        connection = self._connections[wire.fileno()] = _Connection(wire, AnswerReader())
        self._epoll.register(wire.fileno(), select.EPOLLIN)
        return connection

    def _begin(self, connection: _Connection) -> bool:
        """Send the next call; False when there is none left."""
        if self._left is not None:
            if self._left <= 0:
                return False
            self._left -= 1
        connection.unsent = self._calls.make(next(self._numbers))
        connection.sent_at, connection.first_byte_at = time.perf_counter_ns(), 0
        with contextlib.suppress(OSError):  # whatever is wrong shows when it is read from
            self._send(connection)
        return True

    def _send(self, connection: _Connection) -> None:
        with contextlib.suppress(BlockingIOError, ssl.SSLWantWriteError):
            sent = connection.wire.send(connection.unsent)
            connection.unsent = connection.unsent[sent:]
        wanted = select.EPOLLIN | (select.EPOLLOUT if connection.unsent else 0)
        self._epoll.modify(connection.wire.fileno(), wanted)

    def _turn(self, connection: _Connection, event: int) -> bool:
        """Take what there is; True when the call is over, well or not."""
        try:
            if event & select.EPOLLOUT:
                self._send(connection)
            return bool(event & ~select.EPOLLOUT) and self._read(connection)
        except (OSError, ValueError) as failure:
            reason = failure.reason if isinstance(failure, ssl.SSLError) else None
            self._fail(connection, str(reason or failure or type(failure).__name__))
            return True

    def _read(self, connection: _Connection) -> bool:
        wire, reader = connection.wire, connection.reader
        while True:
            try:
                data = wire.recv(_PIECE)
            except (BlockingIOError, ssl.SSLWantReadError):
                return False
            if not data:
                if not reader.ended():
                    self._fail(connection, "closed without an answer")
                    return True
                reader.is_last = True
                self._done(connection)
                return True
            if not connection.first_byte_at:
                connection.first_byte_at = time.perf_counter_ns()
            if reader.feed(data):
                self._done(connection)
                return True
            if not (isinstance(wire, ssl.SSLSocket) and wire.pending()):
                return False

    def _done(self, connection: _Connection) -> None:
        counted, now = self._counted, time.perf_counter_ns()
        if connection.reader.status != 200:
            counted.failed(f"status {connection.reader.status}")
            return
        counted.calls += 1
        counted.pieces += connection.reader.pieces
        counted.latencies_ns.append(now - connection.sent_at)
        counted.first_bytes_ns.append(connection.first_byte_at - connection.sent_at)

    def _fail(self, connection: _Connection, reason: str) -> None:
        self._counted.failed(reason)
        connection.reader.is_last = True

    def _replaced(self, connection: _Connection) -> _Connection | None:
        """Another connection in its place; None when there can be none."""
        descriptor = connection.wire.fileno()
        self._epoll.unregister(descriptor)
        del self._connections[descriptor]
        connection.wire.close()
        try:
            return self._add()
        except (LoadError, OSError) as failure:
            self._counted.failed(f"no new connection: {failure}")
            return None
