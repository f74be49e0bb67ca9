"""The receiving half of the HTTP/2 server codec: what h2 says about the client's frames, as events of this package.

Rules: a malformed or unwelcome request is answered or reset here and never seen by the caller. Streams that a client
opens and cancels before they are answered use up a credit that answered ones earn back (CVE-2023-44487).
"""

from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.events import (
    DataReceived,
    PingAckReceived,
    RemoteSettingsChanged,
    RequestReceived,
    StreamEnded,
    TrailersReceived,
    WindowUpdated,
)
from h2.events import Event as H2Event
from h2.events import StreamReset as H2StreamReset

from proxy.wire.events import Event, RequestData, RequestEnd, StreamReset, WireLimits
from proxy.wire.grammar import Rejected
from proxy.wire.http2_head import parse_request, parse_trailers
from proxy.wire.http2_sender import Http2Sender
from proxy.wire.http2_stream import Http2Stream

_RESET_CREDIT = 200  # enough for a client that cancels a whole batch


class Http2Receiver:
    """`is_leaving` refuses new streams; `has_refused` says that a request was answered or reset here; `echo` is what
    the client gave back of our last PING."""

    __slots__ = ("_h2", "_limits", "_reset_credit", "_sender", "echo", "has_refused", "is_leaving")

    def __init__(self, connection: H2Connection, sender: Http2Sender, limits: WireLimits) -> None:
        self._h2 = connection
        self._sender = sender
        self._limits = limits
        self._reset_credit = _RESET_CREDIT
        self.is_leaving = False
        self.has_refused = False
        self.echo = b""

    @property
    def is_exhausted(self) -> bool:
        """The client has cancelled too much."""
        return self._reset_credit < 0

    def translate(self, event: H2Event) -> list[Event]:
        """What an event of h2 means to the codec's caller."""
        match event:
            case RequestReceived():
                return self._begin(event)
            case DataReceived():
                return self._receive_body(event)
            case TrailersReceived():
                return self._receive_trailers(event)
            case StreamEnded():
                return self._end_request(event.stream_id)
            case H2StreamReset():
                return self._receive_reset(event.stream_id)
            case WindowUpdated() | RemoteSettingsChanged():
                self._sender.pump_all()
            case PingAckReceived():
                self.echo = event.ping_data
        return []

    def _begin(self, event: RequestReceived) -> list[Event]:
        stream_id = event.stream_id
        if self.is_leaving or len(self._sender.streams) >= self._limits.max_concurrent_streams:
            self._sender.reset(stream_id, ErrorCodes.REFUSED_STREAM)
            return []
        try:
            head = parse_request(stream_id, event.headers, self._limits, is_ended=event.stream_ended is not None)
        except Rejected as exc:
            self.has_refused = True
            if exc.status == 400:
                self._sender.reset(stream_id, ErrorCodes.PROTOCOL_ERROR)
            else:
                self._sender.refuse(stream_id, exc.status, is_request_complete=event.stream_ended is not None)
            return []
        self._sender.streams[stream_id] = Http2Stream(is_head_request=head.method == b"HEAD")
        return [head]

    def _receive_body(self, event: DataReceived) -> list[Event]:
        stream_id, body = event.stream_id, event.data
        padding = event.flow_controlled_length - len(body)
        if padding:
            self._h2.acknowledge_received_data(padding, stream_id)
        self._sender.streams[stream_id].unacknowledged_bytes += len(body)
        return [RequestData(stream_id, body)] if body else []

    def _receive_trailers(self, event: TrailersReceived) -> list[Event]:
        try:
            self._sender.streams[event.stream_id].request_trailers = parse_trailers(event.headers, self._limits)
        except Rejected:
            self._sender.reset(event.stream_id, ErrorCodes.PROTOCOL_ERROR)
            return [StreamReset(event.stream_id)]
        return []

    def _end_request(self, stream_id: int) -> list[Event]:
        stream = self._sender.streams.get(stream_id)
        if stream is None:  # refused a moment ago
            return []
        stream.is_request_complete = True
        return [RequestEnd(stream_id, stream.request_trailers)]

    def _receive_reset(self, stream_id: int) -> list[Event]:
        stream = self._sender.forget(stream_id)
        self._reset_credit = min(self._reset_credit + self._sender.take_answered(), _RESET_CREDIT)
        if stream is not None and not stream.is_head_sent:
            self._reset_credit -= 1
        return [StreamReset(stream_id)]
