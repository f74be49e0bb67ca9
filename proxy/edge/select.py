"""Chooses what becomes of each client connection, and the layer that carries the choice out.

mitmproxy accepts and tells where a connection was going; `next_layer` asks us. What is ours, and what is relayed, both
leave mitmproxy by handover; the decision itself is in decide.py.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import cast

import structlog
from mitmproxy.connection import Client
from mitmproxy.net.tls import starts_like_tls_record
from mitmproxy.proxy import commands, events, layer
from mitmproxy.proxy.context import Context
from mitmproxy.proxy.layers.tls import parse_client_hello
from mitmproxy.proxy.mode_specs import RegularMode

from proxy.access import gate as access
from proxy.access.networks import plain
from proxy.edge.bridge import Bridge
from proxy.edge.connect import ConnectLayer
from proxy.edge.connection import ClientConnection
from proxy.edge.decide import Close, Decision, Going, Hello, Ours, Tunnel, decide_plain, decide_tls, is_too_short
from proxy.edge.handover import GatedReader, Handover
from proxy.edge.leaf import HostNotPermittedError
from proxy.edge.pins import PinKey, tls_stack
from proxy.edge.refusals import UNREACHABLE, Denied, stranger
from proxy.edge.servers import Servers
from proxy.edge.tunnel import TunnelConnection
from proxy.exchange.tenant import NOBODY, Tenant

log = structlog.get_logger(__name__)

_MAX_HELLO = 65_536
_MAX_RECORDS = 32  # that a ClientHello comes in: all of them are read anew with each piece


class Select:
    """See the module. `modes`: mitmproxy's mode specification -> where its connections go, where the listener says so;
    CONNECT and the kernel say it for all others."""

    def __init__(
        self, bridge: Bridge, servers: Servers, modes: dict[str, Going], first_client: Callable[[], None]
    ) -> None:
        self.bridge = bridge
        self._servers = servers
        self._modes = modes
        self._first_client: Callable[[], None] | None = first_client

    # -- decide.Rules

    def is_provider(self, host: str, port: int) -> bool:
        """See decide.Rules."""
        return self.bridge.registry.match(host, port) is not None and self.bridge.leaves.may_sign(host)

    def is_pinned(self, key: PinKey) -> bool:
        """See decide.Rules."""
        return self.bridge.settings.passthrough.learn_pins and self.bridge.pins.is_pinned(key)

    @property
    def passthrough(self) -> Sequence[str]:
        """See decide.Rules."""
        return self.bridge.settings.passthrough.hosts

    # -- mitmproxy's hooks

    async def client_connected(self, client: Client) -> None:
        """Put the gate in, before anything is read."""
        if self._first_client is not None:
            called, self._first_client = self._first_client, None
            called()
        if self._servers.client_connections > self.bridge.settings.limits.max_connections:
            client.error = "too many connections"
            self.bridge.count_connection("refused")
            return
        io = self._servers.connections[client.id].transports[client]
        gate = GatedReader(cast(asyncio.StreamReader, io.reader))
        io.reader = gate  # type: ignore[assignment]
        writer = cast(asyncio.StreamWriter, io.writer)
        gate.expect_choice(self.bridge.settings.limits.client_head_s, writer.transport)
        if not self.bridge.gate.is_open:
            await self.bridge.gate.wait_for(_client(client, writer))

    def next_layer(self, nextlayer: layer.NextLayer) -> None:
        """mitmproxy asks, at the start and after each piece."""
        context = nextlayer.context
        if isinstance(context.client.proxy_mode, RegularMode) and len(context.layers) == 1:
            nextlayer.layer = ConnectLayer(context, self)
            return
        going = self._modes.get(context.client.proxy_mode.full_spec) or _going(context)
        data: bytes = nextlayer.data_client()  # type: ignore[no-untyped-call]
        if not data:
            return
        decision = self.decide(data, going, context.client)
        if decision is None:
            self.handover(context).more()
        else:
            nextlayer.layer = self.carry_out(context, decision, data)

    def client(self, context: Context) -> access.Client:
        """What this connection tells of its client by itself."""
        io = self._servers.connections[context.client.id].transports[context.client]
        return _client(context.client, cast(asyncio.StreamWriter, io.writer))

    def admit(self, context: Context, authorization: bytes | None = None) -> Tenant | access.Why:
        """Whose client it is. Asked of a connection once, and remembered."""
        io = self._servers.connections[context.client.id].transports[context.client]
        gated = cast(GatedReader, io.reader)
        if gated.tenant is not None:
            return gated.tenant
        who = self.bridge.gate.admit(self.client(context), authorization)
        gated.tenant = who if isinstance(who, Tenant) else None
        return who

    def carry_out(self, context: Context, decision: Decision, seen: bytes) -> layer.Layer:
        """The layer that does what was decided. `seen`: what mitmproxy was given of the client's bytes."""
        return TakeOver(context, self, decision, seen)

    # -- choosing

    def decide(self, data: bytes, going: Going, client: Client) -> Decision | None:
        """None: more bytes are needed."""
        if is_too_short(data):
            return None
        if not starts_like_tls_record(data):
            return decide_plain(data, going, self)
        if len(data) > _MAX_HELLO or _records(data) > _MAX_RECORDS:
            return Close("oversized_client_hello")
        try:
            parsed = parse_client_hello(data)
        except ValueError:
            return Tunnel(going.host, going.port, "not_tls") if going.host else Close("not_tls")
        if parsed is None:
            return None
        extensions = [number for number, _ in parsed.extensions]
        hello = Hello(
            server_name=(parsed.sni or "").lower().rstrip("."),
            alpn=tuple(parsed.alpn_protocols),
            tls_stack=tls_stack(parsed.cipher_suites, extensions),
        )
        return decide_tls(hello, going, client.peername[0], self)

    def handover(self, context: Context) -> Handover:
        """The right to this client's socket."""
        return self._servers.hand_over(context.client)

    def listens_on(self, context: Context, host: str, port: int) -> bool:
        """Would a connection there come back to us? A listener on all addresses is at least on this client's."""
        ours = ("localhost", "127.0.0.1", "::1", plain(context.client.sockname[0]))
        for instance in self._servers.instances:
            for address in instance.listen_addrs:
                if port == address[1] and host in (*ours, address[0]):
                    return True
        return False


def _client(client: Client, writer: asyncio.StreamWriter) -> access.Client:
    tls = writer.get_extra_info("ssl_object")
    return access.Client(client.peername[0], tls.getpeercert(binary_form=True) if tls is not None else None)


def _records(data: bytes) -> int:
    """How many TLS records begin in it, as far as that matters."""
    count, at = 0, 0
    while at < len(data) and count <= _MAX_RECORDS:
        count, at = count + 1, at + 5 + int.from_bytes(data[at + 3 : at + 5])
    return count


def _going(context: Context) -> Going:
    address = context.server.address
    if address is None:
        return Going("", 443)
    return Going(address[0].lower().rstrip("."), address[1])


class TakeOver(layer.Layer):
    """Carries a decision out: the socket leaves mitmproxy."""

    def __init__(self, context: Context, select: Select, decision: Decision, seen: bytes) -> None:
        super().__init__(context)
        self._select = select
        self._decision = decision
        self._seen = seen

    def _handle_event(self, event: events.Event) -> layer.CommandGenerator[None]:
        if isinstance(event, events.Start):
            decision = self._decision
            if isinstance(decision, Tunnel) and self._select.listens_on(self.context, decision.host, decision.port):
                decision = Close("leads_back")  # each connection would make another one, without end
            if isinstance(decision, Close):
                log.info("connection_closed", reason=decision.reason, client=self.context.client.peername[0])
                self._select.bridge.count_connection("closed")
                yield commands.CloseConnection(self.context.client)
            else:
                yield from self._take_over(decision)
        elif isinstance(event, events.ConnectionClosed):
            yield commands.CloseConnection(self.context.client)

    def _take_over(self, decision: Ours | Tunnel) -> layer.CommandGenerator[None]:
        """An exception in a layer would leave the client waiting, so all of them end here."""
        try:
            lawful = self._lawful(decision)
            if isinstance(lawful, Denied):
                host, port = _place(decision)
                bridge = self._select.bridge
                bridge.refusals.count(lawful.reason, client=self.context.client.peername[0], host=host, port=port)
                bridge.count_connection("refused")
                yield commands.CloseConnection(self.context.client)
            else:
                take_over(self._select, self.context, lawful, self._seen)
        except HostNotPermittedError:
            log.warning("host_not_in_certificate", mend="the certificate authority was made without it: restart")
            self._select.bridge.count_connection("closed")
            yield commands.CloseConnection(self.context.client)
        except Exception as failure:
            log.error("take_over_failed", error=type(failure).__name__, exc_info=failure)
            yield commands.CloseConnection(self.context.client)

    def _lawful(self, decision: Ours | Tunnel) -> Ours | Tunnel | Denied:
        """What may be done with it. What CONNECT has asked already is asked again: inside, TLS may name another host.
        A listener's own origin is what the operator wants reached. Where only names are allowed, a tunnel to an address
        goes to the name that TLS calls it."""
        who = self._select.admit(self.context)
        if not isinstance(who, Tenant):
            return stranger(who)
        reach = self._select.bridge.reach
        if (isinstance(decision, Ours) and decision.destination.fixed) or reach.may_reach(*_place(decision)):
            return decision
        if isinstance(decision, Tunnel) and decision.name and reach.may_reach(decision.name, decision.port):
            return replace(decision, host=decision.name)
        return UNREACHABLE


def _place(decision: Ours | Tunnel) -> tuple[str, int]:
    if isinstance(decision, Ours):
        return decision.destination.host, decision.destination.port
    return decision.host, decision.port


def take_over(select: Select, context: Context, decision: Ours | Tunnel, seen: bytes) -> None:
    """Put our protocol on the client's socket. Raises HostNotPermittedError when we cannot stand for the host."""
    bridge, peer = select.bridge, context.client.peername[0]
    protocol: ClientConnection | TunnelConnection
    if isinstance(decision, Ours):
        destination = decision.destination
        tls = None
        if decision.with_tls:
            # Behind a reverse listener the certificate is for the name by which the client knows us.
            tls = bridge.leaves.context(_own_name(seen) if destination.fixed else destination.host)
        handover = select.handover(context)
        who = select.admit(context)
        protocol = ClientConnection(
            bridge,
            handover,
            peer=peer,
            destination=destination,
            tls=tls,
            pin=decision.pin,
            tenant=who if isinstance(who, Tenant) else NOBODY,
        )
        bridge.count_connection("intercepted")
    else:
        handover = select.handover(context)
        who = select.admit(context)
        handover.proof = who.proof if isinstance(who, Tenant) else ""
        protocol = TunnelConnection(
            handover,
            bridge.pool.dialer,
            bridge.tasks,
            decision.host,
            decision.port,
            dead_peer_s=bridge.settings.limits.dead_peer_s,
            answers_connect=decision.answers_connect,
        )
        bridge.count_connection(f"tunnelled_{decision.reason}")
    protocol.start(handover.begin(protocol, seen, bridge.settings.limits.dead_peer_s))


def _own_name(seen: bytes) -> str:
    parsed = parse_client_hello(seen)
    return (parsed.sni if parsed is not None else None) or "localhost"
