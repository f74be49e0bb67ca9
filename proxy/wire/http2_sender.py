"""The sending half of the HTTP/2 server codec: responses out, within the client's windows.

Rules: body bytes wait here until the client has room for them. A response that ends before its request resets the
stream without an error (RFC 9113, section 8.1); one that falls short of its promise resets it with one. Whatever ends
a stream gives the request's bytes that nobody acknowledged back to the connection's window.
"""

from h2.connection import H2Connection
from h2.errors import ErrorCodes

from proxy.exchange.headers import HeaderList
from proxy.wire.http2_stream import Http2Stream


class Http2Sender:
    """Sends on the open `streams` of a connection; what is meant for any other stream is dropped."""

    __slots__ = ("_answered", "_h2", "streams")

    def __init__(self, connection: H2Connection) -> None:
        self._h2 = connection
        self._answered = 0
        self.streams: dict[int, Http2Stream] = {}

    def take_answered(self) -> int:
        """How many responses were completed since the last call."""
        answered, self._answered = self._answered, 0
        return answered

    def send_continue(self, stream_id: int) -> None:
        """100 Continue, unless the answer has begun."""
        self.send_head(stream_id, 100, [], None)

    def send_head(self, stream_id: int, status: int, headers: HeaderList, content_length: int | None) -> None:
        """The response's head. Raises RuntimeError when it was sent before."""
        stream = self.streams.get(stream_id)
        if stream is None:
            return
        fields = [(b":status", b"%d" % status), *headers]
        if status < 200:
            # 101 does not exist in HTTP/2 (RFC 9113, section 8.6), and an interim head cannot follow the final one.
            if status != 101 and not stream.is_head_sent:
                self._h2.send_headers(stream_id, fields)
            return
        if stream.is_head_sent:
            raise RuntimeError("the response has already begun")
        if content_length is not None and status not in (204, 304):
            fields.append((b"content-length", b"%d" % content_length))
        has_body = status not in (204, 304) and not stream.is_head_request
        self._h2.send_headers(stream_id, fields, end_stream=not has_body)
        stream.is_head_sent = True
        stream.left = content_length
        if not has_body:
            self._finish(stream_id, stream)

    def send_data(self, stream_id: int, data: bytes) -> None:
        """A piece of the body; bytes beyond the promised length are dropped."""
        stream = self.streams.get(stream_id)
        if stream is not None and stream.is_head_sent and not stream.is_end_waiting:
            stream.queue(data)
            self._pump(stream_id, stream)

    def send_end(self, stream_id: int, trailers: HeaderList | None) -> None:
        """The response is complete."""
        stream = self.streams.get(stream_id)
        if stream is None or not stream.is_head_sent or stream.is_end_waiting:
            return
        if stream.left:
            self.reset(stream_id, ErrorCodes.INTERNAL_ERROR)
            return
        stream.is_end_waiting, stream.trailers = True, trailers
        self._pump(stream_id, stream)

    def send_complete(self, stream_id: int, status: int, headers: HeaderList, body: bytes) -> None:
        """Head, body and end in one go."""
        self.send_head(stream_id, status, headers, len(body))
        stream = self.streams.get(stream_id)
        if stream is not None and stream.is_head_sent:
            stream.queue(body)
            stream.is_end_waiting = True
            self._pump(stream_id, stream)

    def refuse(self, stream_id: int, status: int, *, is_request_complete: bool) -> None:
        """Answer a request that is not among `streams` with a bare status."""
        self.streams[stream_id] = Http2Stream(is_head_request=True, is_request_complete=is_request_complete)
        self.send_head(stream_id, status, [], 0)

    def reset(self, stream_id: int, code: ErrorCodes) -> None:
        """Give an open stream up."""
        self._h2.reset_stream(stream_id, code)
        self.forget(stream_id)

    def forget(self, stream_id: int) -> Http2Stream | None:
        """Drop the stream, if it is open, and what waits on it."""
        stream = self.streams.pop(stream_id, None)
        if stream is not None and stream.unacknowledged_bytes:
            self._h2.acknowledge_received_data(stream.unacknowledged_bytes, stream_id)
        return stream

    def pump_all(self) -> None:
        """The client opened a window: send what waits."""
        for stream_id, stream in list(self.streams.items()):
            if stream.waiting:
                self._pump(stream_id, stream)

    def _pump(self, stream_id: int, stream: Http2Stream) -> None:
        connection = self._h2
        is_ended = False
        while stream.waiting:
            window = connection.local_flow_control_window(stream_id)
            size = min(window, connection.max_outbound_frame_size, len(stream.waiting))
            if size <= 0:
                return
            piece = bytes(stream.waiting[:size])
            del stream.waiting[:size]
            is_ended = stream.is_end_waiting and not stream.waiting and not stream.trailers
            connection.send_data(stream_id, piece, end_stream=is_ended)
        if not stream.is_end_waiting:
            return
        if stream.trailers:
            connection.send_headers(stream_id, stream.trailers, end_stream=True)
        elif not is_ended:
            connection.end_stream(stream_id)
        self._finish(stream_id, stream)

    def _finish(self, stream_id: int, stream: Http2Stream) -> None:
        self._answered += 1
        if stream.is_request_complete:
            self.forget(stream_id)
        else:
            self.reset(stream_id, ErrorCodes.NO_ERROR)
