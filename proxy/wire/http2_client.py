"""The client's half of an HTTP/2 connection (RFC 9113), without I/O: calls go in, bytes come out; bytes in, calls told.

Rules: only what a client needs, and that strictly: anything a server may not send ends the connection. Each call is an
`Outgoing` that is told what arrives for it. The connection's window is refilled as bytes arrive, a stream's only as
they are consumed: so a reader that stops holds up its own stream and no other one.
"""

import struct
from typing import Final

from proxy.exchange.headers import HeaderList
from proxy.wire.hpack_decoder import HpackDecoder, HpackError
from proxy.wire.hpack_encoder import DEFAULT_TABLE_BYTES, HpackEncoder, content_length
from proxy.wire.http2_outgoing import Outgoing, SendQueue, frame

DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS = 0x0, 0x1, 0x2, 0x3, 0x4
PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = 0x5, 0x6, 0x7, 0x8, 0x9
END_STREAM = ACK = 0x1
END_HEADERS, PADDED, PRIORITIZED = 0x4, 0x8, 0x20

NO_ERROR, PROTOCOL_ERROR, FLOW_CONTROL_ERROR, STREAM_CLOSED, FRAME_SIZE_ERROR = 0x0, 0x1, 0x3, 0x5, 0x6
REFUSED_STREAM, CANCEL, COMPRESSION_ERROR = 0x7, 0x8, 0x9

PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DEFAULT_WINDOW: Final = 65_535
LARGEST_WINDOW: Final = 2**31 - 1
DEFAULT_STREAMS: Final = 100  # section 6.5.2 recommends that servers allow no fewer
STREAM_WINDOW: Final = 1_048_576  # what waits for one reader: 100 ms of round trip at 80 Mbit/s
_CONNECTION_WINDOW: Final = 16_777_216
_MAX_FRAME_BYTES: Final = 16_384  # the default: we announce no other
_MAX_HEAD_BYTES: Final = 65_536
_FRAME_HEAD: Final = struct.Struct(">HBBBI").unpack_from  # the length's two upper bytes and its last one, then the rest
_LAST_STREAM_ID: Final = 2**31 - 1
_HEADER_TABLE_SIZE, _ENABLE_PUSH, _MAX_STREAMS, _INITIAL_WINDOW, _MAX_FRAME = 0x1, 0x2, 0x3, 0x4, 0x5


class Http2Error(Exception):
    """The server broke the protocol; GOAWAY is in the output. The connection can only be closed."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


class Http2Client:
    """One connection. After each call of a method, send what `take_output` gives."""

    def __init__(self) -> None:
        self.streams: dict[int, Outgoing] = {}
        self.stream_limit: int | None = None  # what the server allows at once; None before its settings have come
        self.is_closing = False  # no new stream may be opened
        self.pings_unanswered = 0
        self._has_said_goodbye = False
        self._encoder = HpackEncoder()
        self._decoder = HpackDecoder(_MAX_HEAD_BYTES)
        self._next_id = 1
        self._pending = b""
        self._head: bytearray | None = None  # a header block that goes on in CONTINUATION frames
        self._head_of = 0
        self._head_ends_stream = False
        self._received = 0  # bytes of bodies for which the connection's window has not been refilled
        settings = _setting(_ENABLE_PUSH, 0) + _setting(_INITIAL_WINDOW, STREAM_WINDOW)
        refill = (_CONNECTION_WINDOW - DEFAULT_WINDOW).to_bytes(4)
        self._out: list[bytes] = [PREFACE, frame(SETTINGS, 0, 0, settings), frame(WINDOW_UPDATE, 0, 0, refill)]
        self._sending = SendQueue(self._out)

    def take_output(self) -> bytes:
        """Bytes for the server, in order, since the last call."""
        out = self._out
        if not out:
            return b""
        output = out[0] if len(out) == 1 else b"".join(out)
        out.clear()
        return output

    # -- calls

    def open(self, stream: Outgoing, fields: HeaderList, body: bytes | None) -> None:
        """Begin a call, with its whole body, or None when that comes by `send`. Raises UnsendableError."""
        block = self._encoder.encode(fields)
        if body or (body is not None and stream.declares_length):
            block += content_length(len(body))
        stream_id = stream.id = self._next_id
        self._next_id += 2
        if self._next_id >= _LAST_STREAM_ID:
            self.is_closing = True
        self.streams[stream_id] = stream
        stream.send_window = self._sending.initial_window
        stream.is_sent = body == b""
        self._send_head(stream_id, block, END_STREAM if stream.is_sent else 0)
        if body:
            self._sending.put(stream, body, is_end=True)

    def _send_head(self, stream_id: int, block: bytes, flags: int) -> None:
        limit = self._sending.max_frame_bytes
        if len(block) <= limit:
            self._out.append(frame(HEADERS, flags | END_HEADERS, stream_id, block))
            return
        self._out.append(frame(HEADERS, flags, stream_id, block[:limit]))
        for at in range(limit, len(block), limit):
            last = END_HEADERS if at + limit >= len(block) else 0
            self._out.append(frame(CONTINUATION, last, stream_id, block[at : at + limit]))

    def send(self, stream: Outgoing, data: bytes, *, is_end: bool) -> None:
        """A piece of a body; what the windows do not let through waits in `stream.unsent`."""
        if self.streams.get(stream.id) is stream:
            self._sending.put(stream, data, is_end=is_end)

    def hold(self, *, is_held: bool) -> None:
        """The socket is full, or takes more again: bodies wait for it."""
        self._sending.hold(is_held=is_held)

    def consumed(self, stream: Outgoing, count: int) -> bool:
        """The reader took so many bytes: the server may send as many more. True when it is to be told so now."""
        stream.unconsumed -= count
        stream.uncredited += count
        if stream.uncredited >= STREAM_WINDOW // 2 and self.streams.get(stream.id) is stream:
            self._out.append(frame(WINDOW_UPDATE, 0, stream.id, stream.uncredited.to_bytes(4)))
            stream.uncredited = 0
            return True
        return False

    def reset(self, stream: Outgoing, code: int = CANCEL) -> None:
        """Give a call up. Nothing more is told about it."""
        if self.streams.get(stream.id) is stream:
            del self.streams[stream.id]
            self._sending.forget(stream)
            self._out.append(frame(RST_STREAM, 0, stream.id, code.to_bytes(4)))

    def ping(self) -> None:
        """Ask for a sign of life: `pings_unanswered` falls to 0 when it comes."""
        self.pings_unanswered += 1
        self._out.append(frame(PING, 0, 0, bytes(8)))

    def goodbye(self) -> None:
        """We are about to close."""
        if not self._has_said_goodbye:
            self._fail(NO_ERROR)

    # -- what the server says

    def receive(self, data: bytes) -> None:
        """Take bytes from the server and tell the calls. Raises Http2Error."""
        if self._pending:
            data = self._pending + data
        at, size = 0, len(data)
        while size - at >= 9:
            high, low, kind, flags, stream_id = _FRAME_HEAD(data, at)
            length = high << 8 | low
            if length > _MAX_FRAME_BYTES:
                raise self._fail(FRAME_SIZE_ERROR)
            end = at + 9 + length
            if end > size:
                break
            stream_id &= 0x7FFFFFFF
            payload = data[at + 9 : end]
            at = end
            if self._head is not None and kind != CONTINUATION:
                raise self._fail(PROTOCOL_ERROR)
            if kind == DATA:
                self._on_data(stream_id, flags, payload)
            else:
                self._on_control(kind, stream_id, flags, payload)
        self._pending = data[at:]

    def _on_control(self, kind: int, stream_id: int, flags: int, payload: bytes) -> None:
        match kind:
            case 0x1:  # HEADERS
                self._on_headers(stream_id, flags, payload)
            case 0x9:  # CONTINUATION
                self._on_continuation(stream_id, flags, payload)
            case 0x3:  # RST_STREAM
                if (stream := self.streams.pop(stream_id, None)) is not None:
                    self._sending.forget(stream)
                    stream.on_reset(int.from_bytes(payload))
            case 0x4:  # SETTINGS
                self._on_settings(flags, payload)
            case 0x5:  # PUSH_PROMISE: we said that we take none
                raise self._fail(PROTOCOL_ERROR)
            case 0x6:  # PING
                if flags & ACK:
                    self.pings_unanswered = 0
                else:
                    self._out.append(frame(PING, ACK, 0, payload))
            case 0x7:  # GOAWAY
                self._on_goaway(payload)
            case 0x8:  # WINDOW_UPDATE
                self._on_window(stream_id, payload)
            case _:  # PRIORITY, and what we do not know (section 5.5)
                pass

    def _on_data(self, stream_id: int, flags: int, payload: bytes) -> None:
        count = len(payload)
        self._received += count
        if self._received >= _CONNECTION_WINDOW // 4:
            self._out.append(frame(WINDOW_UPDATE, 0, 0, self._received.to_bytes(4)))
            self._received = 0
        stream = self.streams.get(stream_id)
        if stream is None:
            if stream_id >= self._next_id or not stream_id & 1:
                raise self._fail(PROTOCOL_ERROR)
            return  # given up: what was under way then
        if flags & PADDED:
            padded, payload = payload, self._unpadded(payload)
            stream.uncredited += len(padded) - len(payload)  # nobody consumes the padding
        stream.unconsumed += len(payload)
        if stream.unconsumed + stream.uncredited > STREAM_WINDOW:
            raise self._fail(FLOW_CONTROL_ERROR)
        is_end = flags & END_STREAM != 0
        if is_end:
            self._ended(stream)
        if payload or is_end:
            stream.on_data(payload, is_end=is_end)

    def _ended(self, stream: Outgoing) -> None:
        del self.streams[stream.id]
        if not stream.is_sent:  # answered before it had read the request: the rest is not wanted (section 8.1)
            self._sending.forget(stream)
            self._out.append(frame(RST_STREAM, 0, stream.id, NO_ERROR.to_bytes(4)))

    def _on_headers(self, stream_id: int, flags: int, payload: bytes) -> None:
        if flags & PADDED:
            payload = self._unpadded(payload)
        if flags & PRIORITIZED:
            payload = payload[5:]
        if stream_id >= self._next_id or not stream_id & 1:
            raise self._fail(PROTOCOL_ERROR)
        if flags & END_HEADERS:
            self._on_head(stream_id, payload, is_end=flags & END_STREAM != 0)
            return
        self._head = bytearray(payload)
        self._head_of, self._head_ends_stream = stream_id, flags & END_STREAM != 0

    def _on_continuation(self, stream_id: int, flags: int, payload: bytes) -> None:
        head = self._head
        if head is None or stream_id != self._head_of or len(head) + len(payload) > _MAX_HEAD_BYTES:
            raise self._fail(PROTOCOL_ERROR)
        head += payload
        if flags & END_HEADERS:
            self._head = None
            self._on_head(stream_id, bytes(head), is_end=self._head_ends_stream)

    def _on_head(self, stream_id: int, block: bytes, *, is_end: bool) -> None:
        try:
            fields = self._decoder.decode(block)
        except HpackError:
            raise self._fail(COMPRESSION_ERROR) from None
        stream = self.streams.get(stream_id)
        if stream is None:
            return
        if is_end:
            self._ended(stream)
        stream.on_head(fields, is_end=is_end)

    def _on_settings(self, flags: int, payload: bytes) -> None:
        if flags & ACK:
            return
        if len(payload) % 6:
            raise self._fail(FRAME_SIZE_ERROR)
        said = {
            int.from_bytes(payload[at : at + 2]): int.from_bytes(payload[at + 2 : at + 6])
            for at in range(0, len(payload), 6)
        }
        self.stream_limit = said.get(_MAX_STREAMS, self.stream_limit or DEFAULT_STREAMS)
        self._encoder.limit_table(said.get(_HEADER_TABLE_SIZE, DEFAULT_TABLE_BYTES))
        window = said.get(_INITIAL_WINDOW)
        size = said.get(_MAX_FRAME, self._sending.max_frame_bytes)
        if (window or 0) > LARGEST_WINDOW or not _MAX_FRAME_BYTES <= size < 2**24:
            raise self._fail(PROTOCOL_ERROR)
        self._sending.max_frame_bytes = size
        self._out.append(frame(SETTINGS, ACK, 0, b""))
        if window is not None:
            self._sending.resize(window, self.streams)

    def _on_window(self, stream_id: int, payload: bytes) -> None:
        count = int.from_bytes(payload) & 0x7FFFFFFF
        if not self._sending.grant(self.streams.get(stream_id), stream_id, count):
            raise self._fail(FLOW_CONTROL_ERROR)

    def _on_goaway(self, payload: bytes) -> None:
        """Streams above the last one that is named were not processed (section 6.8)."""
        self.is_closing = True
        last = int.from_bytes(payload[:4]) & 0x7FFFFFFF
        for stream_id in [each for each in self.streams if each > last]:
            stream = self.streams.pop(stream_id)
            self._sending.forget(stream)
            stream.on_reset(REFUSED_STREAM)

    def _unpadded(self, payload: bytes) -> bytes:
        if not payload or payload[0] >= len(payload):
            raise self._fail(PROTOCOL_ERROR)
        return payload[1 : len(payload) - payload[0]]

    def _fail(self, code: int) -> Http2Error:
        self.is_closing = self._has_said_goodbye = True
        self._out.append(frame(GOAWAY, 0, 0, bytes(4) + code.to_bytes(4)))
        return Http2Error(code)


def _setting(name: int, value: int) -> bytes:
    return name.to_bytes(2) + value.to_bytes(4)
