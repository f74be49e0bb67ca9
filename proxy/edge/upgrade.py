"""Requests that stop being HTTP: WebSockets (realtime) and gRPC. The origin's side is opened raw, the client's own
bytes are replayed to it, and from there on it is a relay behind our TLS.

They are identified, counted and land in the ledger as bypass; what is said on them is not looked at.
"""

from proxy.edge.connection import ClientConnection
from proxy.edge.relay import Relay
from proxy.edge.stream import ClientStream
from proxy.exchange.chain import Handler
from proxy.exchange.headers import HeaderList
from proxy.exchange.model import Exchange
from proxy.upstream.liveness import notice_dead_peer
from proxy.upstream.pool import Pool
from proxy.wire.http2 import Http2Server

_PROXY_FIELDS = frozenset({b"proxy-connection", b"proxy-authorization"})


class _RelayedClient:
    """The client's side of such a relay: see relay.ClientSide."""

    def __init__(self, connection: ClientConnection) -> None:
        self._channel = connection.channel
        self.send = self._channel.send
        self.drain = self._channel.drain
        self.close = connection.close

    def send_eof(self) -> None:
        """The origin ended: TLS has no half-close that clients understand."""
        self.close()

    def pause(self) -> None:
        """See ClientSide."""
        self._channel.pause_reading("relay")

    def resume(self) -> None:
        """See ClientSide."""
        self._channel.resume_reading("relay")


async def run_upgrade(stream: ClientStream, exchange: Exchange, pool: Pool, passing: Handler) -> None:
    """Relay this connection to its origin until both sides have ended. `passing` is the chain that only identifies and
    meters. Raises UpstreamError when the origin cannot be reached."""
    await passing(exchange)
    request, connection = exchange.request, stream.connection
    codec = connection.codec
    assert codec is not None
    is_http2 = isinstance(codec, Http2Server)
    context = pool.tls_context("h2" if is_http2 else "http/1.1") if request.scheme == "https" else None
    reader, writer = await pool.dialer.open(request.host, request.port, context)
    notice_dead_peer(writer.transport, exchange.settings.limits.dead_peer_s)
    # No wait between taking the client's bytes and relaying the next ones.
    replay = codec.take_raw() if isinstance(codec, Http2Server) else _head(stream, exchange) + codec.take_unparsed()
    stream.is_answering = True
    exchange.status = 101
    relay = Relay(_RelayedClient(connection), reader, writer, connection.bridge.tasks)
    connection.relay_to(relay)
    relay.from_client(replay)

    def count(received: int) -> None:
        exchange.response_bytes += received

    try:
        await relay.run(count)
    finally:
        relay.close()
        connection.close()


def _head(stream: ClientStream, exchange: Exchange) -> bytes:
    request, head = exchange.request, stream.head
    fields: HeaderList = [(b"host", request.authority.encode())]
    fields += [pair for pair in head.headers if pair[0] not in _PROXY_FIELDS and pair[0] != b"host"]
    lines = b"".join(name + b": " + value + b"\r\n" for name, value in fields)
    return head.method + b" " + request.target.encode("latin-1") + b" HTTP/1.1\r\n" + lines + b"\r\n"
