"""Requests that name their destination themselves (we are their HTTP proxy): whose they are, and whether they may."""

from typing import TYPE_CHECKING

from proxy.access.credentials import Credentials
from proxy.access.gate import Client, Gate, Why
from proxy.edge.destination import MisdirectedError
from proxy.edge.refusals import UNREACHABLE, Denied, stranger
from proxy.exchange.headers import first
from proxy.exchange.model import Request
from proxy.exchange.tenant import Tenant
from proxy.wire.events import RequestHead

if TYPE_CHECKING:
    from proxy.edge.connection import ClientConnection


class Admission:
    """Of a connection whose requests each say whose they are. The same words are not looked at twice."""

    __slots__ = ("_client", "_known")

    def __init__(self, client: Client) -> None:
        self._client = client
        self._known: tuple[Gate, Credentials | None, bytes | None, Tenant] | None = None

    def of(self, gate: Gate, field: bytes | None) -> Tenant | Why:
        """Whose a request is that says this in Proxy-Authorization."""
        known = self._known
        if known is not None and known[0] is gate and known[1] is gate.tokens and known[2] == field:
            return known[3]
        who = gate.admit(self._client, field)
        self._known = None if isinstance(who, Why) else (gate, gate.tokens, field, who)
        return who


class DeniedError(MisdirectedError):
    """The request goes no further."""

    def __init__(self, denied: Denied) -> None:
        super().__init__(denied.status, denied.message)
        self.denied = denied


def admitted(connection: "ClientConnection", head: RequestHead, request: Request) -> Tenant:
    """Whose request it is. Raises DeniedError."""
    if connection.destination is not None:
        return connection.tenant  # that was settled when the connection came to be ours
    bridge = connection.bridge
    who: Tenant | Why = connection.tenant
    if connection.admission is None and not bridge.gate.is_open:  # it began before there were rules
        connection.admission = Admission(Client(connection.peer))
        connection.caller = None  # a repeat would not ask whose it is
    if connection.admission is not None:
        who = connection.admission.of(bridge.gate, first(head.headers, b"proxy-authorization"))
    if isinstance(who, Why):
        denied = stranger(who)
    elif bridge.reach.may_reach(request.host, request.port):
        return who
    else:
        denied = UNREACHABLE
    bridge.refusals.count(denied.reason, client=connection.peer, host=request.host, port=request.port)
    raise DeniedError(denied)
