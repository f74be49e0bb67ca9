"""A call on a client's HTTP/2 connection, and the sending of its body within the server's windows (RFC 9113, 5.2, 6.9).

Rules: a body is never copied to wait: what the windows do not let through stays where it is. Calls that wait go on in
the order in which they began, as far as each one's own window reaches.
"""

import struct
from abc import ABC, abstractmethod
from typing import Final

from proxy.exchange.headers import HeaderList

_DATA, _END_STREAM = 0x0, 0x1
_DEFAULT_WINDOW: Final = 65_535
_LARGEST_WINDOW: Final = 2**31 - 1
_FRAME_HEAD: Final = struct.Struct(">HBBBI").pack  # the length's two upper bytes and its last one, then the rest


def frame(kind: int, flags: int, stream_id: int, payload: bytes | memoryview) -> bytes:
    """A frame's bytes."""
    size = len(payload)
    return b"".join((_FRAME_HEAD(size >> 8, size & 0xFF, kind, flags, stream_id), payload))


class Outgoing(ABC):
    """One call. What is written here belongs to the codec; what is told is for whoever made the call."""

    __slots__ = (
        "declares_length", "id", "is_last", "is_sent", "send_window", "unconsumed", "uncredited", "unsent",
    )  # fmt: skip

    def __init__(self, *, declares_length: bool) -> None:
        self.id = 0
        self.declares_length = declares_length  # even of an empty body
        self.is_sent = False  # the last byte of the request is on its way
        self.send_window = 0
        self.unsent: bytes | memoryview = b""  # of the body, as far as it is known
        self.is_last = False  # nothing comes after `unsent`
        self.unconsumed = 0  # bytes of the answer that nobody has taken
        self.uncredited = 0  # bytes that were taken, without the server having been told

    @abstractmethod
    def on_head(self, fields: HeaderList, *, is_end: bool) -> None:
        """A head has come: that of the answer, one before it (status 1xx), or the fields after its body."""

    @abstractmethod
    def on_data(self, data: bytes, *, is_end: bool) -> None:
        """A piece of the answer; empty only at the end."""

    @abstractmethod
    def on_reset(self, code: int) -> None:
        """The server gave the call up."""

    @abstractmethod
    def on_room(self) -> None:
        """All that was handed over is on its way. For bodies that come in pieces."""


class SendQueue:
    """What one connection may send, over all its calls."""

    __slots__ = ("_is_held", "_out", "_waiting", "_window", "initial_window", "max_frame_bytes")

    def __init__(self, out: list[bytes]) -> None:
        self._out = out
        self._window = _DEFAULT_WINDOW
        self._waiting: dict[int, Outgoing] = {}
        self._is_held = False
        self.initial_window = _DEFAULT_WINDOW  # of each new stream
        self.max_frame_bytes = 16_384

    def put(self, stream: Outgoing, data: bytes, *, is_end: bool) -> None:
        """Send the next piece, or as much of it as may go."""
        count = len(data)
        if not stream.unsent and (not count or (count <= self.max_frame_bytes and self._fits(stream, count))):
            self._take(stream, count)
            self._out.append(frame(_DATA, _END_STREAM if is_end else 0, stream.id, data))
            stream.is_sent = is_end
            return
        stream.unsent = bytes(stream.unsent) + data if stream.unsent else memoryview(data)
        stream.is_last = is_end
        self._waiting[stream.id] = stream
        self._go_on(stream)

    def _fits(self, stream: Outgoing, count: int) -> bool:
        return not self._is_held and count <= self._window and count <= stream.send_window

    def _take(self, stream: Outgoing, count: int) -> None:
        self._window -= count
        stream.send_window -= count

    def _go_on(self, stream: Outgoing) -> None:
        at, body = 0, stream.unsent
        while not self._is_held:
            count = min(len(body) - at, self._window, stream.send_window, self.max_frame_bytes)
            if count <= 0:
                break
            self._take(stream, count)
            is_end = stream.is_last and at + count == len(body)
            self._out.append(frame(_DATA, _END_STREAM if is_end else 0, stream.id, body[at : at + count]))
            at += count
        if at == len(body):
            stream.is_sent = stream.is_last
            self.forget(stream)
            stream.on_room()
        elif at:
            stream.unsent = body[at:]

    def forget(self, stream: Outgoing) -> None:
        """Nothing more of this call is to be sent."""
        self._waiting.pop(stream.id, None)
        stream.unsent = b""

    def hold(self, *, is_held: bool) -> None:
        """The socket is full, or takes more again."""
        self._is_held = is_held
        self._all_go_on()

    def grant(self, stream: Outgoing | None, stream_id: int, count: int) -> bool:
        """WINDOW_UPDATE. False when a window has grown too large."""
        if stream_id == 0:
            self._window += count
            self._all_go_on()
            return self._window <= _LARGEST_WINDOW
        if stream is None:
            return True
        stream.send_window += count
        if stream_id in self._waiting:
            self._go_on(stream)
        return stream.send_window <= _LARGEST_WINDOW

    def resize(self, window: int, streams: dict[int, Outgoing]) -> None:
        """SETTINGS_INITIAL_WINDOW_SIZE: it changes the windows of open streams too (section 6.9.2)."""
        change, self.initial_window = window - self.initial_window, window
        for stream in streams.values():
            stream.send_window += change
        self._all_go_on()

    def _all_go_on(self) -> None:
        for stream in list(self._waiting.values()):
            self._go_on(stream)
