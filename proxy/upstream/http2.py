"""One HTTP/2 connection to an origin: the socket and TLS around the codec. It lives on the event loop alone.

Rules: no thread takes part, so a piece of an answer costs one turn of the loop, and a cancelled call is taken back
before anything else happens. All deadlines are looked at once a second, by `check`. A connection that says nothing for
too long while calls wait is asked for a sign of life, and given up without one.
"""

import asyncio
import contextlib
import ssl
import time
from collections.abc import Callable
from typing import Final

from proxy.exchange.errors import UpstreamError
from proxy.exchange.headers import HeaderList
from proxy.upstream.http2_call import Http2Call
from proxy.wire.http2_client import Http2Client, Http2Error

_SILENCE_S: Final = 20.0  # then the origin is asked whether it is still there, and has as long to answer
_READ_BYTES: Final = 262_144
_HELD_BYTES: Final = 262_144  # what waits in the socket before bodies of requests do


class Http2Connection(asyncio.Protocol):
    """Made around a socket that is connected. `on_change`: room has come, or the end of the connection."""

    def __init__(self, context: ssl.SSLContext, host: str, on_change: Callable[[], None]) -> None:
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls: ssl.SSLObject | None = context.wrap_bio(self._incoming, self._outgoing, server_hostname=host)
        self._transport: asyncio.WriteTransport | None = None
        self._writer: asyncio.StreamWriter | None = None
        self._codec = Http2Client()
        self._established: asyncio.Future[str] | None = asyncio.get_running_loop().create_future()
        self._on_change = on_change
        self._heard_at = 0.0
        self._arrived: list[Http2Call] = []
        self._is_http2 = False  # as far as is known
        self._is_receiving = False
        self.is_closed = False

    # -- beginning

    async def establish(self, writer: asyncio.StreamWriter) -> str:
        """The TLS handshake on this socket, which is ours from now on; returns the protocol that was agreed on.
        Raises UpstreamError."""
        established, transport = self._established, writer.transport
        assert established is not None
        self._writer = writer  # it would close its socket when nobody knows it any more
        self._transport = transport
        transport.set_write_buffer_limits(high=_HELD_BYTES)
        transport.set_protocol(self)
        try:
            self._shake_hands()
            return await established
        except BaseException:
            self.close()
            raise

    def _shake_hands(self) -> None:
        transport, established, tls = self._transport, self._established, self._tls
        assert transport is not None
        assert established is not None
        assert tls is not None
        try:
            tls.do_handshake()
        except ssl.SSLWantReadError:
            transport.write(self._outgoing.read())
            return
        except ssl.SSLError as failure:
            transport.write(self._outgoing.read())  # the alert
            if not established.done():
                established.set_exception(_handshake_failed(failure))
            return
        self._established = None
        self._heard_at = time.monotonic()
        protocol = tls.selected_alpn_protocol() or "http/1.1"
        self._is_http2 = protocol == "h2"
        self.flush()
        if not established.done():
            established.set_result(protocol)

    # -- calls

    @property
    def is_usable(self) -> bool:
        """New calls may be made."""
        return not (self.is_closed or self._codec.is_closing)

    @property
    def stream_limit(self) -> int | None:
        """How many calls the origin allows at once; None before it has said so."""
        return self._codec.stream_limit

    def open(self, call: Http2Call, fields: HeaderList, body: bytes | None) -> None:
        """Begin a call. Raises UnsendableError."""
        self._codec.open(call, fields, body)
        self.flush()

    def send(self, call: Http2Call, data: bytes, *, is_end: bool) -> None:
        """A piece of a request's body."""
        self._codec.send(call, data, is_end=is_end)
        self.flush()

    def arrived(self, call: Http2Call) -> None:
        """Something came for this call."""
        self._arrived.append(call)

    def consumed(self, call: Http2Call, count: int) -> None:
        """So much of the answer was taken."""
        if self._codec.consumed(call, count):
            self.flush()

    def reset(self, call: Http2Call) -> None:
        """Give a call up."""
        self._codec.reset(call)
        self.flush()
        self._close_if_done()

    def check(self, now: float, idle_s: float) -> None:
        """Once a second: deadlines of calls, and whether the origin is still there."""
        for stream in list(self._codec.streams.values()):
            if isinstance(stream, Http2Call):
                stream.check(now, idle_s)
        if self.is_closed or not self._codec.streams:
            return
        silence_s = now - self._heard_at
        if self._codec.pings_unanswered and silence_s > 2 * _SILENCE_S:
            self._lost(UpstreamError("connection_terminated", "the origin does not answer any more"))
        elif silence_s > _SILENCE_S and not self._codec.pings_unanswered:
            self._codec.ping()
            self.flush()

    # -- the socket

    def data_received(self, data: bytes) -> None:
        tls = self._tls
        if tls is None:
            return
        self._incoming.write(data)
        if self._established is not None:
            self._shake_hands()
            if self._established is not None:
                return
        codec, limit = self._codec, self._codec.stream_limit
        self._is_receiving = True
        try:
            while plain := tls.read(_READ_BYTES):
                codec.receive(plain)
                if not self._incoming.pending and not tls.pending():
                    break
            else:
                self._lost(_gone())
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLError:
            self._lost(_gone())
        except Http2Error:
            self._lost(UpstreamError("http_protocol_error", "the origin's answer is not HTTP"))
        self._heard_at = time.monotonic()
        arrived, self._arrived = self._arrived, []
        for call in arrived:
            call.deliver()
        self._is_receiving = False
        self.flush()
        if codec.stream_limit != limit or codec.is_closing:
            self._on_change()
            self._close_if_done()

    def flush(self) -> None:
        """Send what the codec has to say. What is said while data is read goes out at its end, in one write."""
        transport, tls = self._transport, self._tls
        if self._is_receiving or transport is None or tls is None:
            return
        if self._is_http2 and (output := self._codec.take_output()):
            tls.write(output)
        if self._outgoing.pending:
            transport.write(self._outgoing.read())

    def pause_writing(self) -> None:
        self._codec.hold(is_held=True)

    def resume_writing(self) -> None:
        self._codec.hold(is_held=False)
        self.flush()

    def eof_received(self) -> bool:
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        established = self._established
        if established is not None and not established.done():
            message = "the TLS handshake with the origin failed"
            established.set_exception(UpstreamError("tls_protocol_error", message, sent=False))
        self._lost(_gone())

    # -- ends

    def _close_if_done(self) -> None:
        """After GOAWAY the connection has served when its last call has ended."""
        if self._codec.is_closing and not self._codec.streams:
            self.close()

    def _lost(self, failure: UpstreamError) -> None:
        streams = list(self._codec.streams.values())
        self._codec.streams.clear()
        self.close()
        for stream in streams:
            if isinstance(stream, Http2Call):
                stream.fail(failure)

    def close(self) -> None:
        """Close the socket. Calls that are under way fail."""
        if self.is_closed:
            return
        if self._codec.streams:
            self._lost(_gone())
            return
        self._is_receiving = False
        with contextlib.suppress(ssl.SSLError):  # TLS itself may be what broke
            if self._transport is not None and not self._transport.is_closing():
                self._codec.goodbye()
                self.flush()
        self.is_closed = True
        self._tls = None  # its buffers, and the roots that it was made with, need not wait for a collection
        if self._transport is not None:
            self._transport.close()
        self._on_change()


def _gone() -> UpstreamError:
    return UpstreamError("connection_terminated", "the origin closed the connection before it had answered")


def _handshake_failed(failure: ssl.SSLError) -> UpstreamError:
    if isinstance(failure, ssl.SSLCertVerificationError):
        return UpstreamError("tls_certificate_error", "the origin's certificate could not be verified", sent=False)
    return UpstreamError("tls_protocol_error", "the TLS handshake with the origin failed", sent=False)
