"""TLS towards a client, in memory: ciphertext in, plaintext out, and back. No sockets, no waiting."""

import contextlib
import ssl


class ServerTls:
    """One connection's TLS state. Raises ssl.SSLError when the client breaks off or breaks the protocol."""

    __slots__ = ("_incoming", "_object", "_outgoing", "established", "has_answered", "is_closed")

    def __init__(self, context: ssl.SSLContext) -> None:
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._object = context.wrap_bio(self._incoming, self._outgoing, server_side=True)
        self.established = False
        self.has_answered = False  # the client has seen our certificate, or will
        self.is_closed = False  # the client sent close_notify: it will send nothing more

    @property
    def alpn(self) -> str | None:
        """The protocol that was agreed on; None when the client did not ask."""
        return self._object.selected_alpn_protocol()

    def receive(self, data: bytes) -> bytes:
        """Take ciphertext; returns what it says. What must be sent back is fetched with `pending`."""
        self._incoming.write(data)
        if not self.established:
            try:
                self._object.do_handshake()
            except ssl.SSLWantReadError:
                return b""
            self.established = True
        return self._read()

    def _read(self) -> bytes:
        """Everything that can be read now, record by record."""
        pieces = []
        try:
            while piece := self._object.read(65_536):
                pieces.append(piece)
                if not self._incoming.pending and not self._object.pending():
                    break
            else:
                self.is_closed = True
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLZeroReturnError:
            self.is_closed = True
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def send(self, plain: bytes) -> bytes:
        """The ciphertext of `plain`, whatever was pending first."""
        self._object.write(plain)
        return self._outgoing.read()

    def close(self) -> bytes:
        """Our close_notify."""
        with contextlib.suppress(ssl.SSLError, ValueError):
            self._object.unwrap()
        return self._outgoing.read()

    def pending(self) -> bytes:
        """Handshake and control records that must be sent."""
        if not self._outgoing.pending:
            return b""
        self.has_answered = True
        return self._outgoing.read()
