"""A WebSocket that says hello as OpenAI's realtime API does and then sends every message back.

Rules: sans-io, after RFC 6455; text, binary, ping and close frames, in one piece each; a frame that a client must not
send, or one over the limit, ends the connection.
"""

import struct
from base64 import b64encode
from hashlib import sha1
from typing import Final

import orjson

_GUID: Final = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_MAX_FRAME_BYTES: Final = 1024 * 1024
_TEXT, _CLOSE, _PING, _PONG = 1, 8, 9, 10


def handshake(key: bytes) -> bytes:
    """The 101 response to a client's key."""
    accept = b64encode(sha1(key + _GUID, usedforsecurity=False).digest())
    return (
        b"HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: Upgrade\r\n"
        b"sec-websocket-accept: %s\r\n\r\n" % accept
    )


def frame(opcode: int, payload: bytes) -> bytes:
    """One unmasked frame, as servers send it."""
    size = len(payload)
    if size < 126:
        return bytes([0x80 | opcode, size]) + payload
    if size < 65_536:
        return bytes([0x80 | opcode, 126]) + struct.pack(">H", size) + payload
    return bytes([0x80 | opcode, 127]) + struct.pack(">Q", size) + payload


class EchoSocket:
    """The server's side after the handshake."""

    def __init__(self, session: str) -> None:
        self._received = b""
        self.is_closed = False
        self.hello = frame(_TEXT, orjson.dumps({"type": "session.created", "session": {"id": session}}))

    def receive(self, data: bytes) -> bytes:
        """Take bytes from the client; returns bytes for it."""
        self._received += data
        out = b""
        while not self.is_closed and (taken := self._take()) is not None:
            opcode, payload = taken
            if opcode == _CLOSE:
                self.is_closed = True
                out += frame(_CLOSE, payload[:2])
            elif opcode == _PING:
                out += frame(_PONG, payload)
            elif opcode != _PONG:
                out += frame(opcode, payload)
        return out

    def _take(self) -> tuple[int, bytes] | None:
        """The next whole frame, unmasked."""
        got = self._received
        if len(got) < 2:
            return None
        size, at = got[1] & 0x7F, 2
        if size == 126:
            size, at = int.from_bytes(got[2:4]), 4
        elif size == 127:
            size, at = int.from_bytes(got[2:10]), 10
        is_masked = bool(got[1] & 0x80)
        if len(got) >= at and (size > _MAX_FRAME_BYTES or not is_masked):
            return _CLOSE, struct.pack(">H", 1002)
        if len(got) < at + 4 + size:
            return None
        mask = got[at : at + 4] * (size // 4 + 1)
        payload = got[at + 4 : at + 4 + size]
        self._received = got[at + 4 + size :]
        return got[0] & 0x0F, bytes(a ^ b for a, b in zip(payload, mask, strict=False))
