"""Requests that stop being HTTP: WebSockets (realtime) and gRPC. The origin's side is opened raw, the client's own
bytes are replayed to it, and from there on it is a relay behind our TLS. Over HTTP/1.1 nothing but the request goes
there before the origin has switched: if it does not, the client's next bytes are another request, which on a proxy
connection may be for another origin, with a token for us in it.

They are identified, counted and land in the ledger as bypass; what is said on them is not looked at.
"""

import asyncio
from typing import Final

from proxy.edge.connection import ClientConnection
from proxy.edge.relay import Relay
from proxy.edge.stream import ClientStream
from proxy.exchange.chain import Handler
from proxy.exchange.errors import UpstreamError
from proxy.exchange.headers import HeaderList
from proxy.exchange.model import Exchange
from proxy.upstream.liveness import notice_dead_peer
from proxy.upstream.pool import Pool
from proxy.wire.http2 import Http2Server

_PROXY_FIELDS = frozenset({b"proxy-connection", b"proxy-authorization"})
_SWITCHING: Final = 101


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


class _Declined(Relay):
    """The origin goes on with HTTP: its answer is relayed, and the client has to make its next request elsewhere."""

    def from_client(self, data: bytes) -> None:
        self.close()
        self._client.close()


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
    kind, told = Relay, b""
    if isinstance(codec, Http2Server):
        exchange.status = _SWITCHING
    else:
        try:
            exchange.status, told = await _asked(stream, exchange, reader, writer)
        except BaseException:
            writer.close()
            raise
        kind = Relay if exchange.status == _SWITCHING else _Declined
    # No wait between taking the client's bytes and relaying the next ones.
    replay = codec.take_raw() if isinstance(codec, Http2Server) else codec.take_unparsed()
    stream.is_answering = True
    client = _RelayedClient(connection)
    relay = kind(client, reader, writer, connection.bridge.tasks)
    connection.relay_to(relay)
    if told:
        client.send(told)
        exchange.response_bytes += len(told)
    if replay:
        relay.from_client(replay)
    connection.channel.resume_reading("pipelined")

    def count(received: int) -> None:
        exchange.response_bytes += received

    try:
        await relay.run(count)
    finally:
        relay.close()
        connection.close()


async def _asked(
    stream: ClientStream, exchange: Exchange, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> tuple[int, bytes]:
    """Send the request; the status of the origin's answer, and its head as it came, with those of interim ones before
    it. Raises UpstreamError."""
    told = b""
    try:
        async with asyncio.timeout(exchange.settings.upstream.first_byte_timeout_s):
            writer.write(_head(stream, exchange))
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                told += head
                status = _status(head)
                if status >= 200 or status == _SWITCHING:
                    return status, told
    except TimeoutError as failure:
        raise UpstreamError("http_response_timeout", "the origin took too long to answer", status=504) from failure
    except (asyncio.IncompleteReadError, asyncio.LimitOverrunError, OSError) as failure:
        raise UpstreamError("connection_terminated", "the origin broke off before it answered") from failure


def _status(head: bytes) -> int:
    """Raises UpstreamError."""
    words = head.split(b"\r\n", 1)[0].split(b" ")
    if not words[0].startswith(b"HTTP/1.") or len(words) < 2 or not words[1].isdigit() or len(words[1]) != 3:
        raise UpstreamError("http_protocol_error", "the origin's answer is no HTTP")
    return int(words[1])


def _head(stream: ClientStream, exchange: Exchange) -> bytes:
    request, head = exchange.request, stream.head
    fields: HeaderList = [(b"host", request.authority.encode())]
    fields += [pair for pair in head.headers if pair[0] not in _PROXY_FIELDS and pair[0] != b"host"]
    lines = b"".join(name + b": " + value + b"\r\n" for name, value in fields)
    return head.method + b" " + request.target.encode("latin-1") + b" HTTP/1.1\r\n" + lines + b"\r\n"
