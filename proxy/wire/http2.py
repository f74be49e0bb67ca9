"""The server's half of an HTTP/2 connection: `Http2Server`, the codec of `proxy.wire.events` on the h2 package.

Rules: the connection opens with an empty SETTINGS frame and nothing else is let out until `commit`, so that a client
that turns out to be none of our business (gRPC, say) can be handed over raw to its origin with `take_raw`. A malformed
request costs its stream; a breach of framing, a body that contradicts its content-length, or a client that only keeps
us busy costs the connection: GOAWAY, one `BadRequest`, and nothing more is read.
"""

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.exceptions import ProtocolError
from h2.settings import SettingCodes, Settings
from hyperframe.frame import GoAwayFrame

from proxy.exchange.headers import HeaderList
from proxy.wire.events import BadRequest, Event, WireLimits
from proxy.wire.http2_frames import (
    DEFAULT_MAX_FRAME_BYTES,
    EMPTY_SETTINGS,
    PREFACE,
    AckRemover,
    FrameCutter,
    carries_request,
    is_goaway,
    is_settings_ack,
)
from proxy.wire.http2_receiver import Http2Receiver
from proxy.wire.http2_sender import Http2Sender

_DEFAULT_WINDOW_BYTES = 65_535
_WINDOWS_PER_CONNECTION = 4  # the connection's window in stream windows: one that is not read must not stop the others
_MAX_UNCOMMITTED_BYTES = 262_144  # preface, one head and a default window of body fit several times
_MAX_IDLE_FRAMES = 10_000  # frames without a piece of a request, between two signs of work (PING and SETTINGS floods)
_NO_STREAM_LIMIT = 2**31 - 1
_FAREWELL = b"farewell"  # an echo of it shows that the client has read our first GOAWAY


class Http2Server:
    """`ServerCodec` for HTTP/2. What is sent on a stream that is gone is dropped silently.

    A CONNECT request has `upgrade` set and its authority as target; its bytes come as `RequestData`.
    """

    http_version = "2"

    def __init__(self, limits: WireLimits | None = None) -> None:
        self._limits = limits or WireLimits()
        self._h2 = H2Connection(
            H2Configuration(
                client_side=False,
                header_encoding=None,
                validate_inbound_headers=False,  # http2_head validates: a breach costs the stream only
                normalize_inbound_headers=False,
                validate_outbound_headers=False,
                normalize_outbound_headers=False,
            )
        )
        # We announce nothing at first, so a client may open any number of streams until it has read our settings.
        self._h2.local_settings = Settings(
            client=False, initial_values={SettingCodes.MAX_CONCURRENT_STREAMS: _NO_STREAM_LIMIT}
        )
        self._h2.decoder.max_header_list_size = self._limits.max_head_bytes
        self._cutter = FrameCutter(DEFAULT_MAX_FRAME_BYTES)
        self._sender = Http2Sender(self._h2)
        self._receiver = Http2Receiver(self._h2, self._sender, self._limits)
        self._streams = self._sender.streams
        self._opening = EMPTY_SETTINGS
        self._out: list[bytes] = []
        self._raw = bytearray()
        self._handover = AckRemover()
        self._is_committed = False
        self._is_first_ack_due = True
        self._is_shutting_down = False
        self._is_told = False
        self._has_left = False
        self._is_broken = False
        self._idle_frames = 0

    # The client's side

    def receive(self, data: bytes) -> list[Event]:
        """See `ServerCodec`."""
        if self._is_broken:
            return []
        if not self._is_committed:
            self._raw += data
            if len(self._raw) > _MAX_UNCOMMITTED_BYTES:
                return self._fail(ErrorCodes.ENHANCE_YOUR_CALM, "too many bytes before a request")
        events: list[Event] = []
        for item in self._cutter.feed(data):
            events += self._receive_item(item)
            if events and isinstance(events[-1], BadRequest):
                return events
        if self._cutter.error:
            events += self._fail(ErrorCodes.PROTOCOL_ERROR, self._cutter.error)
        return events

    def next_request(self) -> list[Event]:
        """Streams are independent: nothing waits."""
        return []

    def receive_eof(self) -> list[Event]:
        """See `ServerCodec`."""
        self._receiver.is_leaving = True
        if not self._is_broken and any(not stream.is_request_complete for stream in self._streams.values()):
            return self._fail(ErrorCodes.NO_ERROR, "request body cut off")
        return []

    def buffered(self) -> int:
        """See `ServerCodec`."""
        return len(self._cutter.pending)

    def acknowledge(self, stream_id: int, count: int) -> None:
        """See `ServerCodec`."""
        stream = self._streams.get(stream_id)
        if stream is not None:
            count = min(count, stream.unacknowledged_bytes)
            stream.unacknowledged_bytes -= count
            self._h2.acknowledge_received_data(count, stream_id)

    def commit(self) -> None:
        """The connection is ours: forget the raw bytes, announce our limits and let the output go."""
        if self._is_committed:
            return
        self._release()
        window = self._limits.initial_window_bytes
        self._h2.update_settings(
            {
                SettingCodes.MAX_CONCURRENT_STREAMS: self._limits.max_concurrent_streams,
                SettingCodes.INITIAL_WINDOW_SIZE: window,
                SettingCodes.MAX_HEADER_LIST_SIZE: self._limits.max_head_bytes,
            }
        )
        increment = _WINDOWS_PER_CONNECTION * window - _DEFAULT_WINDOW_BYTES
        if increment > 0:
            self._h2.increment_flow_control_window(increment)
        if self._is_shutting_down:
            self._tell()

    def take_raw(self) -> bytes:
        """Instead of `commit`: all bytes the client has sent, for its origin, without the acknowledgement of our
        empty settings. Bytes that come later go through `after_raw`; the codec is of no other use then."""
        raw = bytes(self._raw)
        self._raw.clear()
        return self._handover.feed(raw)

    def after_raw(self, data: bytes) -> bytes:
        """Later bytes of a client that was handed over; the acknowledgement is taken out if it comes only now."""
        return self._handover.feed(data)

    def _receive_item(self, item: bytes) -> list[Event]:
        if item is not PREFACE:
            self._idle_frames = 0 if carries_request(item) else self._idle_frames + 1
            if self._idle_frames > _MAX_IDLE_FRAMES:
                return self._fail(ErrorCodes.ENHANCE_YOUR_CALM, "too many frames without a request")
            if is_goaway(item):
                # h2 would refuse to send anything after it; the streams that are open may well be finished.
                self._receiver.is_leaving = True
                return []
            if self._is_first_ack_due and is_settings_ack(item):
                self._is_first_ack_due = False  # of the empty frame, which h2 did not send
                return []
        try:
            received = self._h2.receive_data(item)
        except ProtocolError:
            return self._fail(None, "HTTP/2 protocol error")
        events: list[Event] = []
        for event in received:
            events += self._receiver.translate(event)
        if self._receiver.has_refused:
            self.commit()
        if self._receiver.echo == _FAREWELL:
            self.leave()
        if self._receiver.is_exhausted:
            events += self._fail(ErrorCodes.ENHANCE_YOUR_CALM, "too many cancelled requests")
        return events

    def _fail(self, code: ErrorCodes | None, reason: str) -> list[Event]:
        """End the connection; without a code h2 has already written its GOAWAY."""
        if code is not None:
            self._h2.close_connection(code)
        self._release()
        self._streams.clear()
        self._is_broken = True
        return [BadRequest(400, reason)]

    def _release(self) -> None:
        self._is_committed = True
        self._raw.clear()

    # The response's side

    def send_continue(self, stream_id: int) -> None:
        """See `ServerCodec`."""
        self._sender.send_continue(stream_id)

    def send_head(self, stream_id: int, status: int, headers: HeaderList, *, content_length: int | None) -> None:
        """See `ServerCodec`. Raises RuntimeError when the response has already begun."""
        self._idle_frames = 0
        self._sender.send_head(stream_id, status, headers, content_length)

    def send_complete(self, stream_id: int, status: int, headers: HeaderList, body: bytes) -> None:
        """Head, body and end in one go. Raises like `send_head`."""
        self._idle_frames = 0
        self._sender.send_complete(stream_id, status, headers, body)

    def send_data(self, stream_id: int, data: bytes) -> None:
        """See `ServerCodec`. Bytes beyond the promised length are dropped."""
        self._idle_frames = 0
        self._sender.send_data(stream_id, data)

    def send_end(self, stream_id: int, trailers: HeaderList | None = None) -> None:
        """See `ServerCodec`. A body shorter than promised resets the stream."""
        self._sender.send_end(stream_id, trailers)

    def abort(self, stream_id: int) -> None:
        """See `ServerCodec`."""
        if stream_id in self._streams:
            self._sender.reset(stream_id, ErrorCodes.INTERNAL_ERROR)

    def unsent(self, stream_id: int) -> int:
        """See `ServerCodec`."""
        stream = self._streams.get(stream_id)
        return 0 if stream is None else len(stream.waiting)

    def shutdown(self) -> None:
        """See `ServerCodec`; RFC 9113, section 6.8. Streams that come before the client has read it are served. Before
        `commit` nothing is said: the first request may be none of our business."""
        self._is_shutting_down = True
        if self._is_committed:
            self._tell()

    def leave(self) -> None:
        """See `ServerCodec`. Streams opened later are refused, which tells the client to repeat them elsewhere."""
        if self._is_broken or self._has_left:
            return
        self._has_left = self._receiver.is_leaving = True
        self._release()
        self._say_goaway(self._h2.highest_inbound_stream_id)

    @property
    def is_quiet(self) -> bool:
        """See `ServerCodec`."""
        return not self._streams and not self._cutter.pending

    def _tell(self) -> None:
        if not (self._is_broken or self._is_told or self._has_left):
            self._is_told = True
            self._h2.ping(_FAREWELL)  # before it: clients on h2 cannot read a PING after a GOAWAY, and break off
            self._say_goaway(_NO_STREAM_LIMIT)

    def _say_goaway(self, last_stream_id: int) -> None:
        """h2 sends nothing after its own GOAWAY, so this one goes past it."""
        self._out.append(self._h2.data_to_send())
        self._out.append(GoAwayFrame(0, last_stream_id=last_stream_id).serialize())

    @property
    def wants_close(self) -> bool:
        """See `ServerCodec`. What `take_output` still holds must be written first."""
        return self._is_broken or (self._receiver.is_leaving and not self._streams)

    def take_output(self) -> bytes:
        """See `ServerCodec`. Before `commit` this is the opening alone."""
        opening, self._opening = self._opening, b""
        if not self._is_committed:
            return opening
        output = b"".join((opening, *self._out, self._h2.data_to_send()))
        self._out.clear()
        return output
