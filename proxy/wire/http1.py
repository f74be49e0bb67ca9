"""The server's half of an HTTP/1.x connection: `Http1Server`, the codec of `proxy.wire.events` for HTTP/1.0 and 1.1.

Rules: requests are read strictly (see http1_head, http1_chunked, http1_reader); responses are framed here, and a
connection is kept only when both messages ended where both sides know it. The parser is written by hand: with all its
checks it reads a head of 16 fields in 4.5 us once the connection's usual field lines are known (14 us on first sight,
beside a TLS handshake of milliseconds); llhttp took 4.8 us each time and still needed most of the checks.
"""

from http import HTTPStatus

from proxy.exchange.headers import HeaderList
from proxy.wire.events import Event, WireLimits
from proxy.wire.http1_head import FieldMemory
from proxy.wire.http1_reader import Http1Reader

_STATUS_LINES = {status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n".encode() for status in HTTPStatus}
_CLOSE = b"connection: close\r\n"
_KEEP_ALIVE = b"connection: keep-alive\r\n"
_CHUNKED = b"transfer-encoding: chunked\r\n\r\n"


def _status_line(status: int) -> bytes:
    return _STATUS_LINES.get(status) or b"HTTP/1.1 %d \r\n" % status


def _fields(headers: HeaderList) -> bytes:
    """Field lines. Raises ValueError on a field that would break out of its line."""
    lines = b"\r\n".join([*map(b": ".join, headers), b""])
    if lines.count(b"\n") != len(headers) or lines.count(b"\r") != len(headers):
        raise ValueError("line break in a response field")
    return lines


def complete_head(status: int, headers: HeaderList, length: int) -> bytes:
    """The head of an ordinary answer in one piece. Raises ValueError on a broken field."""
    return b"".join((_status_line(status), _fields(headers), b"content-length: %d\r\n\r\n" % length))


class Http1Server:
    """`ServerCodec` for HTTP/1.x.

    An upgrade or CONNECT head is followed by its `RequestEnd`; later bytes are for `take_unparsed`. When the answer
    switches (101, or 2xx to CONNECT) `send_data` sends raw bytes; any other answer is framed and closes.
    """

    http_version = "1.1"

    __slots__ = (
        "_is_chunked",
        "_is_closing",
        "_is_ended",
        "_is_leaving",
        "_is_shutting_down",
        "_is_started",
        "_left",
        "_must_close",
        "_out",
        "_reader",
    )

    def __init__(self, limits: WireLimits | None = None, known: FieldMemory | None = None) -> None:
        """`known`: the field lines that clients have sent before, if connections share them."""
        self._reader = Http1Reader(limits or WireLimits(), known if known is not None else FieldMemory())
        self._out: list[bytes] = []
        self._is_started = False  # the response's head is out
        self._is_ended = False  # the response is complete
        self._is_chunked = False
        self._left: int | None = None  # body bytes the client was promised; None when not bounded
        self._must_close = False  # after this response
        self._is_closing = False  # now
        self._is_shutting_down = False
        self._is_leaving = False

    def receive(self, data: bytes) -> list[Event]:
        """See `ServerCodec`."""
        return self._reader.receive(data) if data and not self._is_closing else []

    def next_request(self) -> list[Event]:
        """See `ServerCodec`. Without a complete request and response, or when closing, nothing happens."""
        if self.wants_close or not self._is_ended:
            return []
        self._is_started = self._is_ended = False
        return self._reader.resume()

    def receive_eof(self) -> list[Event]:
        """See `ServerCodec`."""
        return self._reader.receive_eof()

    def buffered(self) -> int:
        """See `ServerCodec`."""
        return self._reader.buffered()

    def take_unparsed(self) -> bytes:
        """Bytes that came after an upgrade or CONNECT head, since the last call; empty for any other request."""
        return self._reader.take_unparsed()

    def acknowledge(self, stream_id: int, count: int) -> None:
        """HTTP/1.x has no flow control of its own."""

    @property
    def has_read_request(self) -> bool:
        """False while the client may still be sending a request, or what should have been one."""
        return self._reader.is_complete or self._reader.is_idle

    def unsent(self, stream_id: int) -> int:
        """Always 0."""
        return 0

    def send_continue(self, stream_id: int) -> None:
        """100 Continue, if the client asked for it and no answer has begun."""
        head = self._reader.head
        if head is not None and head.expect_continue and not self._is_started and not self._reader.is_complete:
            self._out.append(b"HTTP/1.1 100 Continue\r\n\r\n")

    def send_head(self, stream_id: int, status: int, headers: HeaderList, *, content_length: int | None) -> None:
        """See `ServerCodec`. Raises RuntimeError when a response has already begun, ValueError on a broken field."""
        request = self._reader.head
        if 100 <= status < 200 and status != 101:
            if request is not None and request.http_version == "1.1":
                self._out.append(_status_line(status) + _fields(headers) + b"\r\n")
            return
        if self._is_started:
            raise RuntimeError("the response has already begun")
        if self._switches(status):
            self._out.append(_status_line(status) + _fields(headers) + b"\r\n")
            self._is_started, self._is_chunked, self._left, self._must_close = True, False, None, True
            return
        is_1_1 = request is None or request.http_version == "1.1"
        has_body = status not in (204, 304) and (request is None or request.method != b"HEAD")
        self._is_chunked = has_body and content_length is None and is_1_1
        self._left = content_length if has_body else 0
        is_delimited_by_close = has_body and content_length is None and not is_1_1
        self._must_close = is_delimited_by_close or self._cannot_be_kept()
        framing = _CLOSE if self._must_close else b"" if is_1_1 else _KEEP_ALIVE
        if self._is_chunked:
            framing += _CHUNKED
        elif content_length is None or status in (204, 304):
            framing += b"\r\n"
        else:
            framing += b"content-length: %d\r\n\r\n" % content_length
        self._out.append(_status_line(status) + _fields(headers) + framing)
        self._is_started = True

    def send_complete(self, stream_id: int, status: int, headers: HeaderList, body: bytes) -> None:
        """Head, body and end in one go. Raises like `send_head`."""
        if self._is_ordinary() and status >= 200 and status not in (204, 304):
            self.send_whole(complete_head(status, headers, len(body)), body)
            return
        self.send_head(stream_id, status, headers, content_length=len(body))
        self.send_data(stream_id, body)
        self.send_end(stream_id)

    def send_whole(self, head: bytes, body: bytes) -> bool:
        """An answer with a head that `complete_head` made. False, and nothing is sent, when this request's answer has
        to be framed in another way."""
        if not self._is_ordinary():
            return False
        self._out.append(head + body)
        self._must_close = False
        self._is_started = self._is_ended = True
        return True

    def send_data(self, stream_id: int, data: bytes) -> None:
        """See `ServerCodec`. Bytes beyond the promised length are dropped: the client would read them as a response."""
        if not data or self._is_ended or self._is_closing or not self._is_started:
            return
        if self._is_chunked:
            self._out.append(b"%x\r\n%b\r\n" % (len(data), data))
            return
        if self._left is not None:
            data = data[: self._left]
            self._left -= len(data)
        self._out.append(data)

    def send_end(self, stream_id: int, trailers: HeaderList | None = None) -> None:
        """See `ServerCodec`. Trailers need chunked coding and are dropped without it. A body shorter than promised
        closes the connection, so that the client sees it."""
        if self._is_ended or self._is_closing or not self._is_started:
            return
        if self._is_chunked:
            self._out.append(b"0\r\n\r\n" if not trailers else b"0\r\n" + _fields(trailers) + b"\r\n")
        self._is_ended = True
        # Shutting down is no reason here: who was not told may have sent the next call already.
        is_unfit = not self._reader.keep_alive or not self._reader.is_complete
        self._is_closing = self._must_close or self._is_leaving or bool(self._left) or is_unfit

    def abort(self, stream_id: int) -> None:
        """See `ServerCodec`."""
        self._is_closing = True

    def shutdown(self) -> None:
        """See `ServerCodec`. After an answer that did not say so, the connection stays: the next call may be on its
        way already."""
        self._is_shutting_down = True

    def leave(self) -> None:
        """See `ServerCodec`."""
        self._is_shutting_down = self._is_leaving = True

    @property
    def is_quiet(self) -> bool:
        """See `ServerCodec`."""
        return self._is_ended or (self._reader.is_idle and not self._is_started)

    @property
    def wants_close(self) -> bool:
        """See `ServerCodec`. What `take_output` still holds must be written first."""
        if self._is_closing:
            return True
        return (self._is_leaving or self._reader.is_drained) and self.is_quiet

    def take_output(self) -> bytes:
        """See `ServerCodec`."""
        out = self._out
        if not out:
            return b""
        self._out = []
        return out[0] if len(out) == 1 else b"".join(out)

    def _switches(self, status: int) -> bool:
        request = self._reader.head
        if request is None or not request.upgrade:
            return False
        return 200 <= status < 300 if request.method == b"CONNECT" else status == 101

    def _is_ordinary(self) -> bool:
        """The request's answer has a body with a length, and the connection goes on after it."""
        request = self._reader.head
        return (
            request is not None
            and request.http_version == "1.1"
            and request.method != b"HEAD"
            and not self._is_started
            and not self._cannot_be_kept()
        )

    def _cannot_be_kept(self) -> bool:
        """The request said close, was not read to its end, or was broken; or we are shutting down."""
        return self._is_shutting_down or not self._reader.keep_alive or not self._reader.is_complete
