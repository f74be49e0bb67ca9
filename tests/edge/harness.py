"""A client's connection without a socket: the real bridge and connection, a transport that remembers, and a chain that
is one function of the test's.
"""

import asyncio
import ssl
import time
from collections.abc import Awaitable, Callable
from typing import cast

from config.schema import Settings
from proxy.edge.bridge import Bridge, Snapshot
from proxy.edge.connection import ClientConnection
from proxy.edge.destination import Destination
from proxy.edge.handover import Handover
from proxy.edge.leaf import LeafIssuer
from proxy.edge.pins import PinKey, PinMemory
from proxy.exchange.model import Exchange, Response
from proxy.metrics import Metrics
from proxy.upstream.pool import Pool
from tests.support.exchanges import REGISTRY, answer, settings

OPENAI = Destination("https", "api.openai.com", 443)


class Transport:
    """What asyncio's transport is to a protocol. `written` is what the client has got."""

    def __init__(self) -> None:
        self.written = bytearray()
        self.protocol: ClientConnection | None = None
        self.reading = True
        self.eof_sent = False
        self.closing = False
        self.aborted = False
        self.unread = 0

    def write(self, data: bytes) -> None:
        assert not self.closing, "written after close"
        assert not self.eof_sent, "written after the end"
        self.written += data

    def write_eof(self) -> None:
        self.eof_sent = True

    def can_write_eof(self) -> bool:
        return True

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        self.high = high

    def get_write_buffer_size(self) -> int:
        return self.unread

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True

    def is_closing(self) -> bool:
        return self.closing

    def close(self) -> None:
        if not self.closing:
            self.closing = True
            assert self.protocol is not None
            asyncio.get_running_loop().call_soon(self.protocol.connection_lost, None)

    def abort(self) -> None:
        self.aborted = True
        self.close()

    def take(self) -> bytes:
        """What was written since the last call."""
        taken = bytes(self.written)
        self.written.clear()
        return taken


class HandoverStub:
    """The right to the transport."""

    def __init__(self, transport: Transport) -> None:
        self.transport = transport
        self.at_eof = False
        self.finished = 0

    def finish(self) -> None:
        self.finished += 1


type Chain = Callable[[Exchange], Awaitable[Response]]


async def hello(called: Exchange) -> Response:
    """Answers at once with the path that was asked for."""
    return answer(called.request.target.encode())


class Edge:
    """A bridge whose chain is `chain`, and the exchanges that have finished."""

    def __init__(self, chain: Chain = hello, **sections: object) -> None:
        self.finished: list[Exchange] = []
        self.metrics = Metrics(100)
        self.chain = chain
        self.settings: Settings = settings(**sections)
        snapshot = Snapshot(self.settings, REGISTRY, self._handle, self._handle, cast(Pool, None))
        self.bridge = Bridge(
            lambda: snapshot,
            metrics=self.metrics,
            leaves=cast(LeafIssuer, None),
            pins=PinMemory(60.0, time.monotonic),
        )

    async def _handle(self, called: Exchange) -> Response:
        called.provider = REGISTRY.match(called.request.host, called.request.port)
        called.on_finished.append(self.finished.append)
        return await self.chain(called)

    def connect(
        self,
        destination: Destination | None = OPENAI,
        tls: ssl.SSLContext | None = None,
        pin: PinKey | None = None,
        initial: bytes = b"",
    ) -> "Client":
        """A client's connection, taken over."""
        transport = Transport()
        handover = HandoverStub(transport)
        connection = ClientConnection(
            self.bridge, cast(Handover, handover), peer="10.0.0.1", destination=destination, tls=tls, pin=pin
        )
        transport.protocol = connection
        connection.start(initial)
        return Client(connection, transport, handover)

    def count(self, name: str, label: str) -> float:
        """A counter's value."""
        key = "code" if name == "skinflint_bad_requests_total" else "kind"
        return self.metrics.registry.get_sample_value(name, {key: label}) or 0.0


class Client:
    """One client: what it sends goes in, what it gets comes out."""

    def __init__(self, connection: ClientConnection, transport: Transport, handover: HandoverStub) -> None:
        self.connection = connection
        self.transport = transport
        self.handover = handover

    def send(self, data: bytes) -> bytes:
        """Send, and what comes back at once."""
        self.connection.data_received(data)
        return self.transport.take()

    def is_reading(self) -> bool:
        """Is the client listened to?"""
        return self.transport.reading


def get(path: str = "/v1/models", *fields: bytes, host: bytes = b"api.openai.com") -> bytes:
    """A request without a body."""
    lines = b"".join(field + b"\r\n" for field in fields)
    return b"GET " + path.encode() + b" HTTP/1.1\r\nhost: " + host + b"\r\n" + lines + b"\r\n"


def post(body: bytes, *fields: bytes, path: bytes = b"/v1/chat/completions") -> bytes:
    """A request with a body and its length."""
    lines = b"".join(field + b"\r\n" for field in fields)
    head = b"POST " + path + b" HTTP/1.1\r\nhost: api.openai.com\r\ncontent-type: application/json\r\n" + lines
    return head + b"content-length: %d\r\n\r\n" % len(body) + body
