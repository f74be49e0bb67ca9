"""Carries out what was decided about a connection: the client's socket leaves mitmproxy for a protocol of ours, or is
closed.
"""

from dataclasses import replace
from typing import TYPE_CHECKING

import structlog
from mitmproxy.proxy import commands, events, layer
from mitmproxy.proxy.context import Context
from mitmproxy.proxy.layers.tls import parse_client_hello

from proxy.edge.connection import ClientConnection
from proxy.edge.decide import Close, Decision, Ours, Tunnel
from proxy.edge.leaf import HostNotPermittedError
from proxy.edge.refusals import UNREACHABLE, Denied, stranger
from proxy.edge.tunnel import TunnelConnection
from proxy.exchange.tenant import NOBODY, Tenant

if TYPE_CHECKING:
    from proxy.edge.select import Select

log = structlog.get_logger(__name__)


class TakeOver(layer.Layer):
    """Carries a decision out: the socket leaves mitmproxy."""

    def __init__(self, context: Context, select: "Select", decision: Decision, seen: bytes) -> None:
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


def relay(select: "Select", context: Context, tunnel: Tunnel) -> None:
    """Take a client that is silent, from outside of its layers. Who it is, and whether it may be led there, was asked
    before its origin was opened."""
    try:
        take_over(select, context, tunnel, b"")
    except Exception as failure:
        log.error("take_over_failed", error=type(failure).__name__, exc_info=failure)
        select.close(context)


def _place(decision: Ours | Tunnel) -> tuple[str, int]:
    if isinstance(decision, Ours):
        return decision.destination.host, decision.destination.port
    return decision.host, decision.port


def take_over(select: "Select", context: Context, decision: Ours | Tunnel, seen: bytes) -> None:
    """Put our protocol on the client's socket. Raises HostNotPermittedError when we cannot stand for the host."""
    bridge, peer = select.bridge, context.client.peername[0]
    protocol: ClientConnection | TunnelConnection
    prelude = select.silence.end(context.client.id)
    if prelude is not None and (isinstance(decision, Ours) or not prelude.leads_to(decision.host, decision.port)):
        prelude.close()
        prelude = None
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
            prelude=prelude,
        )
        bridge.count_connection(f"tunnelled_{decision.reason}")
    protocol.start(handover.begin(protocol, seen, bridge.settings.limits.dead_peer_s))


def _own_name(seen: bytes) -> str:
    parsed = parse_client_hello(seen)
    return (parsed.sni if parsed is not None else None) or "localhost"
