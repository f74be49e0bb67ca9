"""The first layer of a regular listener: CONNECT is answered here, without mitmproxy's HTTP layer, and the tunnel's
content is asked about anew; anything else is a request to us as an HTTP proxy.
"""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from mitmproxy.proxy import commands, events, layer
from mitmproxy.proxy.context import Context

from proxy.access.gate import Client, Why
from proxy.edge.connection import ClientConnection
from proxy.edge.decide import Going, decide_destination
from proxy.edge.destination import split_authority
from proxy.edge.refusals import UNREACHABLE, stranger
from proxy.edge.tunnel import ESTABLISHED
from proxy.exchange.headers import first
from proxy.exchange.tenant import Tenant
from proxy.wire.events import BadRequest, RequestHead, WireLimits
from proxy.wire.http1 import Http1Server

if TYPE_CHECKING:
    from proxy.edge.select import Select

_BEGINNING = b"CONNECT "
_LOOP = b"HTTP/1.1 508 Loop Detected\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"


@dataclass(frozen=True, slots=True)
class NeedMore:
    """The head is not complete."""


@dataclass(frozen=True, slots=True)
class Other:
    """No CONNECT."""


@dataclass(frozen=True, slots=True)
class Refused:
    """A CONNECT that is malformed; `answer` goes to the client."""

    answer: bytes


@dataclass(frozen=True, slots=True)
class Connect:
    """A tunnel is asked for. `rest`: bytes that came after the head."""

    host: str
    port: int
    rest: bytes
    authorization: bytes | None = field(default=None, repr=False)


class ConnectReader:
    """What a connection's first bytes ask for. Each byte is read once, in however many pieces they come."""

    def __init__(self, limits: WireLimits) -> None:
        self._codec = Http1Server(limits)
        self.seen = b""  # while it may be something else

    def receive(self, data: bytes) -> NeedMore | Other | Refused | Connect:
        """The next piece; after NeedMore comes another one."""
        if len(self.seen) < len(_BEGINNING):
            self.seen += data
            if not _BEGINNING.startswith(self.seen[: len(_BEGINNING)]):
                return Other()
            if len(self.seen) < len(_BEGINNING):
                return NeedMore()
            data = self.seen
        codec = self._codec
        received = codec.receive(data)
        if not received:
            return NeedMore()
        head = received[0]
        if isinstance(head, RequestHead):
            try:
                host, port = split_authority(head.target.decode("latin-1"), 443)
            except ValueError:
                return _refused(codec, 400)
            return Connect(host, port, codec.take_unparsed(), first(head.headers, b"proxy-authorization"))
        return _refused(codec, head.status if isinstance(head, BadRequest) else 400)


def _refused(codec: Http1Server, status: int) -> Refused:
    codec.shutdown()
    codec.send_complete(0, status, [(b"content-type", b"text/plain")], b"This CONNECT request is malformed.\n")
    return Refused(codec.take_output())


class ConnectLayer(layer.Layer):
    """See the module."""

    def __init__(self, context: Context, select: "Select") -> None:
        super().__init__(context)
        self._select = select
        self._reader = ConnectReader(select.bridge.wire_limits())
        self._child: layer.Layer | None = None

    def _handle_event(self, event: events.Event) -> layer.CommandGenerator[None]:
        if self._child is not None:
            yield from self._child.handle_event(event)
        elif isinstance(event, events.DataReceived):
            yield from self._first_bytes(event.data)
        elif isinstance(event, events.ConnectionClosed):
            yield commands.CloseConnection(self.context.client)

    def _first_bytes(self, data: bytes) -> layer.CommandGenerator[None]:
        bridge = self._select.bridge
        match self._reader.receive(data):
            case NeedMore():
                self._select.handover(self.context).more()
            case Refused(answer):
                bridge.count_bad_request(400)
                yield from self._say_and_close(answer)
            case Connect(host, port, _) if self._select.listens_on(host, port):
                yield from self._say_and_close(_LOOP)
            case Connect(host, port, rest, authorization):
                yield from self._admit(host, port, rest, authorization)
            case Other():
                self._as_proxy()

    def _say_and_close(self, answer: bytes) -> layer.CommandGenerator[None]:
        yield commands.SendData(self.context.client, answer)
        yield commands.CloseConnection(self.context.client)

    def _admit(self, host: str, port: int, rest: bytes, authorization: bytes | None) -> layer.CommandGenerator[None]:
        """Whose it is, and whether it may lead there; opened only then."""
        select, address = self._select, self.context.client.peername[0]
        who = select.admit(self.context, authorization)
        denied = stranger(who) if isinstance(who, Why) else UNREACHABLE
        if isinstance(who, Tenant) and select.bridge.reach.may_reach(host, port):
            yield from self._open(host, port, rest)
            return
        select.bridge.refusals.count(denied.reason, client=address, host=host, port=port)
        select.bridge.count_connection("refused")
        yield from self._say_and_close(denied.answer())

    def _open(self, host: str, port: int, rest: bytes) -> layer.CommandGenerator[None]:
        self.context.server.address = (host, port)
        if (tunnel := decide_destination(Going(host, port), self._select)) is not None:
            self._child = self._select.carry_out(self.context, tunnel, rest)
            yield from self._child.handle_event(events.Start())
            return
        yield commands.SendData(self.context.client, ESTABLISHED)
        self._child = layer.NextLayer(self.context)
        yield from self._child.handle_event(events.Start())
        if rest:  # `next_layer` asks for more if it needs it
            yield from self._child.handle_event(events.DataReceived(self.context.client, rest))
        else:
            self._select.handover(self.context).more()
            self._select.expect_words(self.context)

    def _as_proxy(self) -> None:
        bridge = self._select.bridge
        handover = self._select.handover(self.context)
        bridge.count_connection("proxied")
        peer = self.context.client.peername[0]
        client: Client | None = self._select.client(self.context)
        if bridge.gate.is_open and client is not None and client.certificate is None:
            client = None  # nobody has to be anybody
        connection = ClientConnection(bridge, handover, peer=peer, destination=None, tls=None, client=client)
        self._child = Gone(self.context)
        connection.start(handover.begin(connection, self._reader.seen, bridge.settings.limits.dead_peer_s))


class Gone(layer.Layer):
    """The socket is in other hands: only its end is left to be seen."""

    def _handle_event(self, event: events.Event) -> layer.CommandGenerator[None]:
        if isinstance(event, events.ConnectionClosed):
            yield commands.CloseConnection(self.context.client)
