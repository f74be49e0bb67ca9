"""What the server-role codecs of this package say and take; shared by HTTP/1.1 and HTTP/2.

Rules: sans-io. Bytes go in through `receive`, events come out; what must go to the client is collected and fetched by
`take_output`. Field names come out in lower case. A codec never raises on what a client sends: bad input becomes one
`BadRequest`, after which the codec reads nothing more.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from proxy.exchange.headers import HeaderList


@dataclass(slots=True)
class RequestHead:
    """A request's head. `stream_id` is 0 on HTTP/1.1.

    `target` is as received: origin-form, absolute-form, authority-form (CONNECT) or `*`. On HTTP/2 it is `:path`, and
    `authority` is `:authority` (else the Host field). `headers` has no pseudo fields. `content_length` is None when the
    length is unknown (chunked or HTTP/2 without the field) or when there is no body at all: see `has_body`.
    """

    stream_id: int
    method: bytes
    target: bytes = field(repr=False)
    authority: bytes
    headers: HeaderList = field(repr=False)
    http_version: str  # "1.0", "1.1" or "2"
    content_length: int | None
    has_body: bool
    expect_continue: bool = False
    upgrade: bool = False  # a connection upgrade (WebSocket) or CONNECT: bytes after this head are not HTTP
    like: "Likeness | None" = field(default=None, repr=False, compare=False)
    note: tuple[object, bytes, Callable[[bytes], bytes], dict[str, str]] | None = field(
        default=None, repr=False, compare=False
    )  # what addons/repeats.py made of it


@dataclass(slots=True)
class Likeness:
    """A head that says the same as `head`, an earlier one of its connection, but for the values of a few fields that
    frame and route nothing. `head` has no field twice."""

    head: RequestHead
    changes: HeaderList


@dataclass(slots=True)
class RequestData:
    """A piece of a request's body, transfer coding removed."""

    stream_id: int
    data: bytes = field(repr=False)


@dataclass(slots=True)
class RequestEnd:
    """The request is complete."""

    stream_id: int
    trailers: HeaderList = field(default_factory=list, repr=False)


@dataclass(slots=True)
class StreamReset:
    """HTTP/2 only: the client gave up this stream."""

    stream_id: int


@dataclass(slots=True)
class BadRequest:
    """The client broke the protocol. HTTP/1.1: answer `status`, then close. HTTP/2: GOAWAY is already in the output.

    `reason` is a constant phrase for the answer and the log; it never quotes the client's bytes.
    """

    status: int
    reason: str


type Event = RequestHead | RequestData | RequestEnd | StreamReset | BadRequest


@dataclass(frozen=True, slots=True)
class WireLimits:
    """Bounds on what one client may make a codec hold."""

    max_head_bytes: int = 65_536  # SDKs send 1-2 KB; cookies and long bearer tokens reach 16 KB
    max_header_fields: int = 200
    max_target_bytes: int = 16_384
    max_concurrent_streams: int = 256  # HTTP/2 streams a client may have open at once
    initial_window_bytes: int = 1_048_576  # HTTP/2: what a client may send on a stream before we have read it


class ServerCodec(Protocol):
    """The server's half of an HTTP connection."""

    http_version: str

    def receive(self, data: bytes) -> list[Event]:
        """Take bytes from the client. On HTTP/1.1, bytes after a complete request wait for `next_request`."""
        ...

    def next_request(self) -> list[Event]:
        """The response is complete: go on with bytes that came meanwhile (HTTP/1.1 pipelining; HTTP/2 returns [])."""
        ...

    def receive_eof(self) -> list[Event]:
        """The client closed its sending side. Inside a request this is a `BadRequest`."""
        ...

    def buffered(self) -> int:
        """Bytes received and not yet parsed: the caller stops reading from the socket when this grows."""
        ...

    def acknowledge(self, stream_id: int, count: int) -> None:
        """`count` bytes of body were consumed: the client may send as many more (HTTP/2 flow control)."""
        ...

    def send_continue(self, stream_id: int) -> None:
        """100 Continue."""
        ...

    def send_head(self, stream_id: int, status: int, headers: HeaderList, *, content_length: int | None) -> None:
        """The response's head. `headers` holds no framing field: the codec adds `content-length` when the length is
        known, else chunked coding (HTTP/1.1) or closing at the end (HTTP/1.0). HEAD, 204 and 304 have no body."""
        ...

    def send_data(self, stream_id: int, data: bytes) -> None:
        """A piece of the response's body."""
        ...

    def send_end(self, stream_id: int, trailers: HeaderList | None = None) -> None:
        """The response is complete."""
        ...

    def abort(self, stream_id: int) -> None:
        """The response cannot be completed: HTTP/2 resets the stream; on HTTP/1.1 the connection must be closed
        without the final chunk, so that the client sees the truncation."""
        ...

    def unsent(self, stream_id: int) -> int:
        """Bytes of this stream's body that wait for the client's flow-control window (always 0 on HTTP/1.1)."""
        ...

    def shutdown(self) -> None:
        """Tell the client to send its next calls elsewhere, and answer those that are on their way: the next head says
        `Connection: close`; HTTP/2 sends GOAWAY for no stream in particular, and calls `leave` once that was read."""
        ...

    def leave(self) -> None:
        """Nothing is on its way any more: close when what is under way has been answered."""
        ...

    @property
    def is_quiet(self) -> bool:
        """No request is under way, nor a part of one."""
        ...

    @property
    def wants_close(self) -> bool:
        """True once everything is sent and the connection must be closed (no keep-alive, abort, protocol error)."""
        ...

    def take_output(self) -> bytes:
        """Bytes for the client, in order, since the last call."""
        ...
