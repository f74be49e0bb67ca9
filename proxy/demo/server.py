"""One connection to the simulator: bytes to the codec, events to the service, answers back through players.

Rules: an asyncio.Protocol per connection and no task anywhere, so that small answers are fast; every request gets one
player; when the connection goes, its players are cancelled and counted as abandoned. HTTP/2 is spoken when ALPN chose
it, or when a plain connection opens with its preface.
"""

import asyncio
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final, Protocol, cast

from proxy.demo.asks import Answer
from proxy.demo.breaking import break_off
from proxy.demo.faults import Faults, Options
from proxy.demo.player import Player
from proxy.demo.traffic import Received, Traffic
from proxy.demo.websocket import EchoSocket, handshake
from proxy.exchange.headers import HeaderList, first, text
from proxy.wire.events import (
    BadRequest,
    Event,
    RequestData,
    RequestEnd,
    RequestHead,
    ServerCodec,
    StreamReset,
    WireLimits,
)
from proxy.wire.http1 import Http1Server
from proxy.wire.http2 import Http2Server

CONTROL: Final = b"/__sim/"
_PREFACE: Final = b"PRI * HTTP/2.0"
_MAX_BODY_BYTES: Final = 64 * 1024 * 1024
_MAX_UNSENT_BYTES: Final = 256 * 1024


class Service(Protocol):
    """What a connection needs of the simulator."""

    options: Options
    traffic: Traffic

    def connected(self, connection: "Connection") -> int:
        """A connection begins; returns its number."""
        ...

    def disconnected(self, connection: "Connection") -> None:
        """It is gone."""
        ...

    def serve(self, received: Received) -> tuple[Answer, Faults]:
        """Answer a request."""
        ...


@dataclass(slots=True)
class _Stream:
    head: RequestHead
    body: list[bytes] = field(default_factory=list)
    size: int = 0
    player: Player | None = None


class Connection(asyncio.Protocol):
    """See the module."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._transport: asyncio.Transport
        self._codec: ServerCodec | None = None
        self.protocol = ""
        self._id = 0
        self._streams: dict[int, _Stream] = {}
        self._events: deque[Event] = deque()
        self._is_handling = False
        self._is_writable = True
        self._has_blocked = False
        self._is_control = False
        self._answers = 0
        self._echo: EchoSocket | None = None
        self._idle: asyncio.TimerHandle | None = None

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's own type only behaves like one
        self._id = self._service.connected(self)
        tls = self._transport.get_extra_info("ssl_object")
        if tls is not None:
            self._choose(is_http2=tls.selected_alpn_protocol() == "h2")
        self._rest()

    def connection_lost(self, exc: Exception | None) -> None:
        self._wake()
        for stream_id in list(self._streams):
            self._give_up(stream_id)
        if self.protocol and not self._is_control:
            self._service.traffic.open[self.protocol] -= 1
        self._service.disconnected(self)

    def data_received(self, data: bytes) -> None:
        if self._echo is not None:
            self._transport.write(self._echo.receive(data))
            if self._echo.is_closed:
                self._transport.close()
            return
        self._wake()
        codec = self._codec or self._choose(is_http2=data.startswith(_PREFACE))
        self._handle(codec.receive(data))
        if self._has_blocked:
            self._resume()
        self.flush()

    def eof_received(self) -> bool:
        return False

    def pause_writing(self) -> None:
        self._is_writable = False

    def resume_writing(self) -> None:
        self._is_writable = True
        self._resume()
        self.flush()

    def close(self) -> None:
        """End it now; nothing more is sent."""
        self._transport.abort()

    # Wire, for players

    def open_answer(self, stream_id: int, status: int, headers: HeaderList, length: int | None) -> None:
        self._http.send_head(stream_id, status, headers, content_length=length)

    def send_piece(self, stream_id: int, piece: bytes) -> None:
        self._http.send_data(stream_id, piece)

    def can_send(self, stream_id: int) -> bool:
        can = self._is_writable and self._http.unsent(stream_id) < _MAX_UNSENT_BYTES
        self._has_blocked = self._has_blocked or not can
        return can

    def end_answer(self, stream_id: int, faults: Faults) -> None:
        self._answers += 1
        self._service.traffic.completed += not self._is_control
        self._forget(stream_id)
        self._http.send_end(stream_id)
        options = self._service.options
        if self.protocol == "2" and (faults.close or 0 < options.goodbye_after <= self._answers):
            # Behind the answer: a client may take GOAWAY for the end of everything.
            self._http.shutdown()
        is_last = options.requests_per_connection and self._answers >= options.requests_per_connection
        if faults.hang_up or faults.length_error or is_last:
            self._hang_up()
            return
        self._handle(self._http.next_request())
        self.flush()
        self._rest()

    def break_answer(self, stream_id: int, faults: Faults) -> None:
        self._service.traffic.broken += 1
        self._forget(stream_id)
        break_off(self._transport, self._http, stream_id, faults)

    def flush(self) -> None:
        codec = self._http
        if output := codec.take_output():
            self._transport.write(output)
        if codec.wants_close:
            self._transport.close()

    # Inside

    @property
    def _http(self) -> ServerCodec:
        assert self._codec is not None
        return self._codec

    def _choose(self, *, is_http2: bool) -> ServerCodec:
        limits = WireLimits(max_concurrent_streams=self._service.options.max_streams)
        if is_http2:
            self._codec = http2 = Http2Server(limits)
            http2.commit()
        else:
            self._codec = Http1Server(limits)
        self.protocol = "2" if is_http2 else "1.1"
        self._service.traffic.opened[self.protocol] += 1
        self._service.traffic.open[self.protocol] += 1
        self.flush()
        return self._codec

    def _handle(self, events: Iterable[Event]) -> None:
        """Work events off in order. Those that an answer brings up (pipelining) queue behind instead of nesting."""
        self._events.extend(events)
        if self._is_handling:
            return
        self._is_handling = True
        try:
            while self._events:
                self._on_event(self._events.popleft())
        finally:
            self._is_handling = False

    def _on_event(self, event: Event) -> None:
        match event:
            case RequestHead():
                self._begin(event)
            case RequestData(stream_id, data):
                self._take_body(stream_id, data)
            case RequestEnd(stream_id):
                self._answer(stream_id)
            case StreamReset(stream_id):
                self._give_up(stream_id)
            case BadRequest(status, reason):
                self._refuse(status, reason)

    def _begin(self, head: RequestHead) -> None:
        traffic = self._service.traffic
        if head.target.startswith(CONTROL) and not self._is_control:
            self._is_control = True  # one that reads the counters must not stand in them
            traffic.opened[self.protocol] -= 1
            traffic.open[self.protocol] -= 1
        self._streams[head.stream_id] = _Stream(head)
        traffic.active_streams += 1
        traffic.most_streams = max(traffic.most_streams, traffic.active_streams)
        key = first(head.headers, b"sec-websocket-key")
        if head.upgrade and key is not None and self.protocol == "1.1":
            self._service.serve(Received(head, b"", self._id))
            self._forget(head.stream_id)
            self._echo = EchoSocket(text(head.headers, b"x-request-id") or f"sess_{self._id}")
            self._transport.write(handshake(key) + self._echo.hello)
        elif head.expect_continue:
            self._http.send_continue(head.stream_id)

    def _take_body(self, stream_id: int, data: bytes) -> None:
        self._http.acknowledge(stream_id, len(data))
        stream = self._streams.get(stream_id)
        if stream is None:
            return
        stream.body.append(data)
        stream.size += len(data)
        if stream.size > _MAX_BODY_BYTES:
            self._hang_up()

    def _answer(self, stream_id: int) -> None:
        stream = self._streams.get(stream_id)
        if stream is None or self._echo is not None:
            return
        answer, faults = self._service.serve(Received(stream.head, b"".join(stream.body), self._id))
        stream.body.clear()
        options = self._service.options
        is_last = faults.close or (options.goodbye_after and self._answers + 1 >= options.goodbye_after)
        if is_last and self.protocol == "1.1":
            self._http.shutdown()
        stream.player = Player(self, stream_id, answer, faults, options)
        stream.player.start()

    def _refuse(self, status: int, reason: str) -> None:
        if self.protocol == "1.1":
            body = reason.encode()
            self._transport.write(b"HTTP/1.1 %d Bad\r\ncontent-length: %d\r\n\r\n%s" % (status, len(body), body))
        self._hang_up()

    def _forget(self, stream_id: int) -> None:
        if self._streams.pop(stream_id, None) is not None:
            self._service.traffic.active_streams -= 1

    def _give_up(self, stream_id: int) -> None:
        stream = self._streams.get(stream_id)
        if stream is None:
            return
        if stream.player is not None:
            stream.player.cancel()
        self._service.traffic.abandoned += 1
        self._forget(stream_id)

    def _resume(self) -> None:
        self._has_blocked = False
        for stream in list(self._streams.values()):
            if stream.player is not None:
                stream.player.resume()

    def _hang_up(self) -> None:
        """Send what is waiting, then close without a word."""
        self._transport.write(self._http.take_output())
        self._transport.close()

    def _rest(self) -> None:
        delay = self._service.options.idle_close_s
        if delay > 0 and not self._streams and self._idle is None:
            self._idle = asyncio.get_running_loop().call_later(delay, self._transport.close)

    def _wake(self) -> None:
        if self._idle is not None:
            self._idle.cancel()
            self._idle = None
