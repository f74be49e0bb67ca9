"""HTTP/2 for the bench's upstream: as little of RFC 9113 as a well-behaved client needs, at a tenth of h2's cost.

Rules: sans-io. Header blocks are never decoded, because the order for the answer stands in the body, and answers use no
dynamic table; so neither side's table matters. Flow control is obeyed: what a window does not let through waits.
"""

import struct
from collections.abc import Callable
from typing import Final

_PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_DATA, _HEADERS, _RST_STREAM, _SETTINGS, _PING, _WINDOW_UPDATE = 0x0, 0x1, 0x3, 0x4, 0x6, 0x8
_END_STREAM, _ACK, _END_HEADERS, _PADDED = 0x1, 0x1, 0x4, 0x8
_MAX_STREAMS_SETTING, _WINDOW_SETTING = 0x3, 0x4
_LARGEST_WINDOW: Final = 2**31 - 1
_DEFAULT_WINDOW: Final = 65_535
_GRANT_AFTER: Final = 2**29
MAX_PAYLOAD: Final = 16_384
MAX_STREAMS: Final = 100  # what providers' front ends allow


def frame(kind: int, flags: int, stream_id: int, payload: bytes) -> bytes:
    """A frame's bytes."""
    return struct.pack(">I", len(payload))[1:] + bytes((kind, flags)) + struct.pack(">I", stream_id) + payload


def _literal(name: bytes, value: bytes) -> bytes:
    """A field without indexing or Huffman coding (RFC 7541, section 6.2.2); both shorter than 127 bytes."""
    return bytes((0, len(name))) + name + bytes((len(value),)) + value


def header_block(fields: list[tuple[bytes, bytes]]) -> bytes:
    """Status 200 and these fields."""
    return b"\x88" + b"".join([_literal(name, value) for name, value in fields])


class Http2Wire:
    """One connection. `on_request(stream_id, body)` and `on_reset(stream_id)` are called from `feed`."""

    def __init__(self, on_request: Callable[[int, bytes], None], on_reset: Callable[[int], None]) -> None:
        self._on_request = on_request
        self._on_reset = on_reset
        self._pending = b""
        self._bodies: dict[int, bytes] = {}
        self._windows: dict[int, int] = {}
        self._waiting: dict[int, list[tuple[bytes, bool]]] = {}
        self._window = _DEFAULT_WINDOW
        self._stream_window = _DEFAULT_WINDOW
        self._received = 0
        self._at_preface = True
        settings = struct.pack(">HIHI", _MAX_STREAMS_SETTING, MAX_STREAMS, _WINDOW_SETTING, _LARGEST_WINDOW)
        self._out: list[bytes] = [
            frame(_SETTINGS, 0, 0, settings),
            frame(_WINDOW_UPDATE, 0, 0, struct.pack(">I", _LARGEST_WINDOW - _DEFAULT_WINDOW)),
        ]

    def take_output(self) -> bytes:
        """Bytes for the client since the last call."""
        out = b"".join(self._out)
        self._out.clear()
        return out

    def feed(self, data: bytes) -> None:
        """Take bytes from the client."""
        data = self._pending + data
        at = 0
        if self._at_preface:
            if len(data) < len(_PREFACE):
                self._pending = data
                return
            at = len(_PREFACE)
            self._at_preface = False
        while len(data) - at >= 9:
            end = at + 9 + int.from_bytes(data[at : at + 3])
            if len(data) < end:
                break
            stream_id = int.from_bytes(data[at + 5 : at + 9]) & 0x7FFFFFFF
            self._frame(data[at + 3], data[at + 4], stream_id, data[at + 9 : end])
            at = end
        self._pending = data[at:]

    def _frame(self, kind: int, flags: int, stream_id: int, payload: bytes) -> None:
        if kind == _DATA:
            self._data(flags, stream_id, payload)
        elif kind == _HEADERS:
            self._windows[stream_id] = self._stream_window
            if flags & _END_STREAM:
                self._on_request(stream_id, b"")
        elif kind == _WINDOW_UPDATE:
            self._grant(stream_id, int.from_bytes(payload))
        elif kind == _SETTINGS and not flags & _ACK:
            self._settings(payload)
        elif kind == _PING and not flags & _ACK:
            self._out.append(frame(_PING, _ACK, 0, payload))
        elif kind == _RST_STREAM:
            for kept in (self._windows, self._bodies, self._waiting):
                kept.pop(stream_id, None)
            self._on_reset(stream_id)

    def _data(self, flags: int, stream_id: int, payload: bytes) -> None:
        self._received += len(payload)
        if self._received > _GRANT_AFTER:
            self._out.append(frame(_WINDOW_UPDATE, 0, 0, struct.pack(">I", self._received)))
            self._received = 0
        if flags & _PADDED:
            payload = payload[1 : len(payload) - payload[0]]
        body = self._bodies.pop(stream_id, b"") + payload
        if flags & _END_STREAM:
            self._on_request(stream_id, body)
        else:
            self._bodies[stream_id] = body

    def _settings(self, payload: bytes) -> None:
        for name, value in struct.iter_unpack(">HI", payload):
            if name == _WINDOW_SETTING:
                changed = value - self._stream_window
                self._stream_window = value
                for stream_id in self._windows:
                    self._windows[stream_id] += changed
        self._out.append(frame(_SETTINGS, _ACK, 0, b""))

    def _grant(self, stream_id: int, count: int) -> None:
        if stream_id == 0:
            self._window += count
        elif stream_id in self._windows:
            self._windows[stream_id] += count
        for each in list(self._waiting):
            queued = self._waiting.pop(each)
            for position, (payload, is_end) in enumerate(queued):
                if not self._fits(each, payload):
                    self._waiting[each] = queued[position:]
                    break
                self._write(each, payload, is_end=is_end)

    def _fits(self, stream_id: int, payload: bytes) -> bool:
        return len(payload) <= self._window and len(payload) <= self._windows.get(stream_id, 0)

    # -- answers

    def send_head(self, stream_id: int, block: bytes) -> None:
        """The answer's head."""
        self._out.append(frame(_HEADERS, _END_HEADERS, stream_id, block))

    def send_data(self, stream_id: int, payload: bytes, *, is_end: bool) -> None:
        """A piece of the body, MAX_PAYLOAD or less; waits for the windows. Nothing for streams that are gone."""
        if stream_id not in self._windows:
            return
        assert len(payload) <= MAX_PAYLOAD
        if stream_id in self._waiting or not self._fits(stream_id, payload):
            self._waiting.setdefault(stream_id, []).append((payload, is_end))
            return
        self._write(stream_id, payload, is_end=is_end)

    def _write(self, stream_id: int, payload: bytes, *, is_end: bool) -> None:
        self._window -= len(payload)
        self._windows[stream_id] -= len(payload)
        self._out.append(frame(_DATA, _END_STREAM if is_end else 0, stream_id, payload))
        if is_end:
            del self._windows[stream_id]
