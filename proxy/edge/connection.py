"""One client's connection, once it is ours: channel and codec on one side, a task for each request on the other.

Rules: no task is made before a request is complete, and none is scheduled for what can be answered at once. Reading
stops while more is queued than is being used; writing tells its stream to wait while the socket is full. Every
connection has a deadline: for its handshake and heads, and between requests.
"""

import asyncio
import ssl
from typing import TYPE_CHECKING

import structlog

from proxy.access.gate import Client
from proxy.edge.acceptance import Acceptance
from proxy.edge.admission import Admission
from proxy.edge.channel import Channel
from proxy.edge.destination import Destination, caller_of
from proxy.edge.handover import Handover
from proxy.edge.patience import Patience
from proxy.edge.pins import PinKey
from proxy.edge.relay import Relay
from proxy.edge.request_body import HIGH_BYTES
from proxy.edge.stream import ClientStream
from proxy.edge.tls import ServerTls
from proxy.exchange.repeats import Key
from proxy.exchange.tenant import NOBODY, Tenant
from proxy.wire.events import BadRequest, Event, RequestData, RequestEnd, RequestHead
from proxy.wire.http1 import Http1Server
from proxy.wire.http2 import Http2Server

if TYPE_CHECKING:
    from proxy.edge.bridge import Bridge

log = structlog.get_logger(__name__)

_LINGER_S = 10.0


class ClientConnection(asyncio.Protocol):
    """The asyncio protocol on the client's socket. `destination` None: we are an HTTP proxy for absolute targets.
    Its time limits are those in force when it began."""

    def __init__(
        self,
        bridge: "Bridge",
        handover: Handover,
        *,
        peer: str,
        destination: Destination | None,
        tls: ssl.SSLContext | None,
        pin: PinKey | None = None,
        tenant: Tenant = NOBODY,
        client: Client | None = None,
    ) -> None:
        """`client`: what there is to know of it, where each request has to say whose it is."""
        self.bridge = bridge
        self.peer = peer
        self.destination = destination
        self.tenant = tenant
        self.admission = Admission(client) if client is not None else None
        # All that a repeat has to know of the connection; None where that is not all.
        self.caller = caller_of(peer, destination, tenant) if client is None else None
        self._handover = handover
        self._transport = handover.transport
        self.channel = Channel(
            handover.transport, ServerTls(tls) if tls is not None else None, Acceptance(bridge, peer, pin)
        )
        self._limits = bridge.settings.limits
        self.codec: Http1Server | Http2Server | None = None if tls is not None else bridge.http1()
        self.streams: dict[int, ClientStream] = {}
        self._relay: Relay | None = None
        self.waiting_for_window: list[asyncio.Event] = []  # streams that HTTP/2 flow control holds up
        self._handling = False
        self._next_wanted = False
        self._eof = False
        self._patience = Patience(
            self._transport, bridge.looks, stalled_s=self._limits.client_idle_s, on_deadline=self.close
        )

    # -- the socket

    def start(self, initial: bytes) -> None:
        """The socket is ours; `initial` has already been read from it."""
        self.bridge.connections.add(self)
        self.channel.start()
        self._patience.expect_within(self._limits.client_head_s)
        self._patience.start()
        if initial:
            self.data_received(initial)
        if self._handover.at_eof and not self.channel.is_closed:
            self.eof_received()

    def data_received(self, data: bytes) -> None:
        channel = self.channel
        if channel.lingers:
            return
        try:
            plain = channel.receive(data)
            if self.codec is None and channel.is_established:
                self.codec = Http2Server(self.bridge.wire_limits()) if channel.alpn == "h2" else self.bridge.http1()
                self.flush()
            if plain:
                self._feed(plain)
            if channel.is_ended and not self._eof:
                self._client_ended()
        except Exception as failure:
            log.error("connection_failed", error=type(failure).__name__, exc_info=failure)
            self.close()

    def eof_received(self) -> bool:
        """FIN. Over TLS the client is gone (a half-close would have been a close_notify); over plain TCP it may still
        be waiting for its answers."""
        if self.channel.lingers:
            self._transport.close()
            return False
        if self.channel.is_secure and self._relay is None:
            self.channel.client_left()
            self.close()
            return False
        self._client_ended()
        return not self.channel.is_closed

    def connection_lost(self, exc: Exception | None) -> None:
        self.channel.lost()
        self._patience.stop()
        for stream in list(self.streams.values()):
            stream.client_gone()
        self.streams.clear()
        if self._relay is not None:
            self._relay.close()
        self.bridge.connections.discard(self)
        self._handover.finish()

    def pause_writing(self) -> None:
        self.channel.set_writable(is_writable=False)

    def resume_writing(self) -> None:
        self.channel.set_writable(is_writable=True)
        self.channel.resume_reading("unread")
        if self._next_wanted and not self._handling:
            self._go_on()

    # -- bytes to events

    def _feed(self, plain: bytes) -> None:
        codec = self.codec
        assert codec is not None
        if self._relay is not None:
            self._relay.from_client(codec.after_raw(plain) if isinstance(codec, Http2Server) else plain)
            return
        self._handle(codec.receive(plain))
        if codec.buffered() > HIGH_BYTES:
            self.channel.pause_reading("pipelined")
        self.flush()
        for window in self.waiting_for_window:
            window.set()

    def _handle(self, events: list[Event]) -> None:
        """Dispatch events. An answer given at once asks for the next pipelined request: that is a loop here, since
        recursion would let a client choose its depth. It stops while the client does not read its answers."""
        codec, short_way = self.codec, self.bridge.short_way
        assert codec is not None
        self._handling = True
        try:
            while True:
                key = short_way.key_of(self, events)
                if key is not None and short_way.replay(self, key):
                    self._patience.expect_within(self._limits.client_idle_s)
                    self._next_wanted = True
                else:
                    for event in events:
                        self._dispatch(event, key)
                if not self._next_wanted or self.channel.is_closed or not self.channel.is_writable:
                    return
                self._next_wanted = False
                events = codec.next_request()
        finally:
            self._handling = False

    def _go_on(self) -> None:
        """With the next request on an HTTP/1.1 connection, if it has come already."""
        codec = self.codec
        self._next_wanted = True
        self._handle([])
        if codec is not None and codec.buffered() <= HIGH_BYTES:
            self.channel.resume_reading("pipelined")
        self.flush()
        if self._eof and not self.streams and not self._next_wanted:
            self.close()

    def _dispatch(self, event: Event, key: Key | None) -> None:
        if isinstance(event, RequestHead):
            self._patience.expect_within(self._limits.client_head_s)
            stream = self.streams[event.stream_id] = ClientStream(self, event, key)
            stream.begin()
        elif isinstance(event, BadRequest):
            self._refuse(event)
        elif (found := self.streams.get(event.stream_id)) is not None:
            if isinstance(event, RequestData):
                if found.is_waiting:  # a slow upload is no silent one
                    self._patience.expect_within(self._limits.client_head_s)
                found.receive(event.data)
            elif isinstance(event, RequestEnd):
                found.receive_end()
            else:
                self.streams.pop(event.stream_id, None)
                found.client_gone()

    def _refuse(self, event: BadRequest) -> None:
        """The client broke the protocol: what is under way on an HTTP/1.1 connection cannot go on."""
        self.bridge.count_bad_request(event.status)
        codec = self.codec
        if isinstance(codec, Http1Server):
            answered = False
            for stream in list(self.streams.values()):
                answered = answered or stream.is_answering
                stream.client_gone()
            self.streams.clear()
            if not answered:
                body = b'{"error":{"message":"%s","type":"invalid_request_error","code":"bad_request"}}' % (
                    event.reason.encode()
                )
                codec.send_complete(0, event.status, [(b"content-type", b"application/json")], body)
        self.flush()
        self.close(linger=True)

    # -- the way back

    def flush(self) -> None:
        """Send what the codec has to say; close when it is done."""
        codec = self.codec
        if codec is None or self.channel.is_closed:
            return
        if output := codec.take_output():
            self.channel.send(output)
        if not self.channel.is_writable and isinstance(codec, Http2Server):
            self.channel.pause_reading("unread")  # or each request would add an answer to those that nobody reads
        if codec.wants_close:
            self.close(linger=isinstance(codec, Http1Server) and not codec.has_read_request)

    def request_done(self, stream: ClientStream) -> None:
        """A request has been answered as far as it will be: go on with the next one."""
        if self.streams.get(stream.id) is stream:
            del self.streams[stream.id]
        self.channel.resume_reading("body")
        codec = self.codec
        if self.channel.is_closed or codec is None or self._relay is not None:
            return
        if not self.streams:
            self._patience.expect_within(self._limits.client_idle_s)
        if self._handling:
            self._next_wanted = True
        else:
            self._go_on()

    def no_deadline(self) -> None:
        """A request is being answered: the upstream deadlines apply now."""
        self._patience.no_deadline()

    # -- ends

    def _client_ended(self) -> None:
        self.channel.client_left()
        self._eof = True
        if self._relay is not None:
            self._relay.client_eof()
            return
        if self.codec is not None:
            self._handle(self.codec.receive_eof())
            self.flush()
        if not self.streams and not self._next_wanted:
            self.close()

    def relay_to(self, relay: Relay) -> None:
        """From here on this connection is no HTTP any more."""
        self._relay = relay
        self.no_deadline()

    @property
    def is_quiet(self) -> bool:
        """No call is under way, and the client has got all that we wrote."""
        if self.streams or self._relay is not None or self._transport.get_write_buffer_size():
            return False
        return self.codec is None or self.codec.is_quiet

    def wind_down(self) -> None:
        """Answer what comes, and tell the client to make its next calls elsewhere."""
        if self.codec is not None and self._relay is None:
            self.codec.shutdown()
            self.flush()

    def leave(self) -> None:
        """Nothing more is expected: say so, and close."""
        if self.codec is not None:
            self.codec.leave()
            self.flush()
        self.close()

    def close(self, *, linger: bool = False) -> None:
        """Close once what has been written is out; with `linger`, once the client has closed too."""
        if self.channel.close(linger=linger and not self._eof):
            self._patience.expect_within(_LINGER_S)
