"""Reads and writes AWS event stream messages (application/vnd.amazon.eventstream), as Bedrock streams them.

A message is: total length, headers length, CRC of these eight bytes, headers, payload, CRC of all before it; numbers
are big-endian, the CRC is zlib's. Rules: both CRCs are checked, and the first breach ends the reading for good, since
nothing marks where the next message would begin.
"""

import struct
from dataclasses import dataclass
from zlib import crc32

MAX_MESSAGE_BYTES = 16 * 1_048_576  # the format's own bound; Bedrock's messages are a few KB

_PRELUDE = struct.Struct(">III")
_CRC = struct.Struct(">I")
_OVERHEAD = _PRELUDE.size + _CRC.size

type HeaderValue = str | int | bool | bytes

_TRUE, _FALSE = 0, 1
_BYTES, _STRING = 6, 7
_UUID = 9
_INTEGERS = {
    2: struct.Struct(">b"),
    3: struct.Struct(">h"),
    4: struct.Struct(">i"),
    5: struct.Struct(">q"),
    8: struct.Struct(">q"),  # a time in milliseconds
}


@dataclass(frozen=True, slots=True)
class EventMessage:
    """A message. Times are integers (milliseconds since 1970), UUIDs are 16 bytes."""

    headers: dict[str, HeaderValue]
    payload: bytes


class EventStreamReader:
    """Feed it a stream's bytes. `broken` is set at the first malformed message."""

    __slots__ = ("_max_message_bytes", "_pending", "broken")

    def __init__(self, max_message_bytes: int = MAX_MESSAGE_BYTES) -> None:
        self._max_message_bytes = max_message_bytes
        self._pending = bytearray()
        self.broken = False

    def feed(self, data: bytes) -> list[EventMessage]:
        """The messages that are complete now."""
        if self.broken:
            return []
        pending = self._pending
        pending += data
        messages: list[EventMessage] = []
        start = 0
        try:
            while len(pending) - start >= _PRELUDE.size:
                end = start + self._message_length(pending, start)
                if end > len(pending):
                    break
                messages.append(_parse(bytes(pending[start:end])))
                start = end
        except (ValueError, struct.error):
            self.broken = True
            pending.clear()
            return messages
        del pending[:start]
        return messages

    def rest(self) -> bytes:
        """Bytes of a message that is not complete."""
        return bytes(self._pending)

    def _message_length(self, pending: bytearray, start: int) -> int:
        total, headers_length, expected = _PRELUDE.unpack_from(pending, start)
        if crc32(pending[start : start + 8]) != expected:
            raise ValueError("prelude CRC")
        if not _OVERHEAD + headers_length <= total <= self._max_message_bytes:
            raise ValueError("message length")
        return int(total)


def _parse(message: bytes) -> EventMessage:
    """One whole message whose prelude is sound. Raises ValueError or struct.error."""
    (expected,) = _CRC.unpack_from(message, len(message) - _CRC.size)
    if crc32(message[: -_CRC.size]) != expected:
        raise ValueError("message CRC")
    headers_end = _PRELUDE.size + _PRELUDE.unpack_from(message)[1]
    headers = _parse_headers(message[_PRELUDE.size : headers_end])
    return EventMessage(headers, message[headers_end : -_CRC.size])


def _parse_headers(block: bytes) -> dict[str, HeaderValue]:
    headers: dict[str, HeaderValue] = {}
    position = 0
    while position < len(block):
        name, position = _take(block, position + 1, block[position])
        (kind,), position = _take(block, position, 1)
        value: HeaderValue
        if kind in (_TRUE, _FALSE):
            value = kind == _TRUE
        elif kind in (_BYTES, _STRING):
            (length,) = struct.unpack_from(">H", block, position)
            raw, position = _take(block, position + 2, length)
            value = raw if kind == _BYTES else raw.decode()
        elif kind == _UUID:
            value, position = _take(block, position, 16)
        elif kind in _INTEGERS:
            (value,) = _INTEGERS[kind].unpack_from(block, position)
            position += _INTEGERS[kind].size
        else:
            raise ValueError("header type")
        headers[name.decode()] = value
    return headers


def _take(block: bytes, position: int, length: int) -> tuple[bytes, int]:
    end = position + length
    if end > len(block):
        raise ValueError("headers end early")
    return block[position:end], end


def encode(headers: dict[str, str], payload: bytes) -> bytes:
    """A message with these string headers. Raises ValueError when a name or value is too long for the format."""
    block = b"".join(_encode_header(name.encode(), value.encode()) for name, value in headers.items())
    lengths = struct.pack(">II", _OVERHEAD + len(block) + len(payload), len(block))
    message = lengths + _CRC.pack(crc32(lengths)) + block + payload
    return message + _CRC.pack(crc32(message))


def _encode_header(name: bytes, value: bytes) -> bytes:
    if len(name) > 255 or len(value) > 32_767:
        raise ValueError("header too long")
    return b"%c%b%c%b%b" % (len(name), name, _STRING, struct.pack(">H", len(value)), value)
