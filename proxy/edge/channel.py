"""The socket's half of a client's connection: ciphertext into plain bytes and back, how fast each side may go, and how
it ends. What the bytes mean is no business of this file (see connection.py).

Rules: nothing is written after the end. Reading stops while anyone has a reason for it. A close may linger: what the
client is still sending is then read and dropped until it closes too, since closing on bytes that were never read resets
the connection, and our answer could be lost with it.
"""

import asyncio
import ssl

from proxy.edge.acceptance import Acceptance
from proxy.edge.tls import ServerTls

_WRITE_HIGH_BYTES = 262_144
_NOTHING: frozenset[str] = frozenset()  # one for all: Python makes a new one each time


class Channel:
    """One client's socket, with TLS on it or without."""

    __slots__ = (
        "_acceptance",
        "_is_accepted",
        "_paused_for",
        "_room",
        "_tls",
        "_transport",
        "is_closed",
        "lingers",
    )

    def __init__(self, transport: asyncio.Transport, tls: ServerTls | None, acceptance: Acceptance) -> None:
        self._transport = transport
        self._tls = tls
        self._acceptance = acceptance
        self._is_accepted = tls is None
        self._paused_for = _NOTHING
        self._room: asyncio.Event | None = None  # None while the socket takes more: most are never full
        self.is_closed = False  # the socket is gone
        self.lingers = False  # we are done, but the client is still sending

    def start(self) -> None:
        """The socket is ours."""
        self._transport.set_write_buffer_limits(high=_WRITE_HIGH_BYTES)

    # -- bytes

    def receive(self, data: bytes) -> bytes:
        """What the client said with these bytes. A handshake is answered; one that fails closes."""
        tls = self._tls
        if tls is None:
            return data
        try:
            plain = tls.receive(data)
        except ssl.SSLError as failure:
            self._send_pending(tls)
            self._acceptance.failed(failure)
            self.close()
            return b""
        self._send_pending(tls)
        if plain and not self._is_accepted:
            self._is_accepted = True
            self._acceptance.accepted()
        return plain

    def _send_pending(self, tls: ServerTls) -> None:
        if pending := tls.pending():
            self._transport.write(pending)

    def send(self, data: bytes) -> None:
        """Plain bytes to the client; dropped after the end."""
        if not (self.is_closed or self.lingers or self._transport.is_closing()):
            self._transport.write(data if self._tls is None else self._tls.send(data))

    @property
    def is_secure(self) -> bool:
        """There is TLS on it."""
        return self._tls is not None

    @property
    def is_established(self) -> bool:
        """Bytes can be sent: there is no TLS, or its handshake is done."""
        return self._tls is None or self._tls.established

    @property
    def alpn(self) -> str | None:
        """What the handshake agreed on."""
        return self._tls.alpn if self._tls is not None else None

    @property
    def is_ended(self) -> bool:
        """The client said over TLS that it will send nothing more."""
        return self._tls is not None and self._tls.is_closed

    # -- how fast

    @property
    def is_writable(self) -> bool:
        """The socket takes more at once."""
        return self._room is None

    def set_writable(self, *, is_writable: bool) -> None:
        """The socket's buffer is full, or has room again."""
        if not is_writable:
            self._room = self._room or asyncio.Event()
        elif self._room is not None:
            self._room.set()
            self._room = None

    async def drain(self) -> None:
        """Wait until the socket takes more, or is gone."""
        if self._room is not None:
            await self._room.wait()

    def pause_reading(self, reason: str) -> None:
        """Stop reading until the same reason is resumed."""
        if not self._paused_for and not self.is_closed:
            self._transport.pause_reading()
        self._paused_for |= {reason}

    def resume_reading(self, reason: str) -> None:
        """Undo `pause_reading`."""
        if reason in self._paused_for:
            self._paused_for = self._paused_for - {reason} or _NOTHING
            if not self._paused_for and not self.is_closed:
                self._transport.resume_reading()

    # -- the end

    def client_left(self) -> None:
        """The client ended: before it asked anything, that may be a word about our certificate."""
        if self._tls is not None and self._tls.has_answered:
            self._acceptance.closed()

    def close(self, *, linger: bool = False) -> bool:
        """Close once what has been written is out. True when it lingers from now on."""
        self._acceptance.given_up()
        if self._transport.is_closing():
            return False
        if self.lingers:
            if not linger:
                self._transport.close()
            return False
        if self._tls is not None and self._tls.established:
            self._transport.write(self._tls.close())
        if not linger:
            self._transport.close()
            return False
        if not self._transport.can_write_eof():  # a listener's own TLS has no half-close
            self._transport.close()
            return False
        self.lingers = True
        self._transport.write_eof()
        self._paused_for = _NOTHING
        self._transport.resume_reading()
        return True

    def lost(self) -> None:
        """The socket is gone."""
        self.client_left()
        self.is_closed = True
        self.set_writable(is_writable=True)
        self._tls = None  # OpenSSL's buffers need not wait for a collection
