"""Requests that name their destination themselves (we are their HTTP proxy): whose they are, and whether they may."""

from typing import TYPE_CHECKING

from proxy.access.gate import Why
from proxy.edge.destination import MisdirectedError
from proxy.edge.refusals import UNREACHABLE, Denied, stranger
from proxy.exchange.headers import first
from proxy.exchange.model import Request
from proxy.exchange.tenant import Tenant
from proxy.wire.events import RequestHead

if TYPE_CHECKING:
    from proxy.edge.connection import ClientConnection


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
    who = connection.admitted(first(head.headers, b"proxy-authorization"))
    if isinstance(who, Why):
        denied = stranger(who)
    elif bridge.reach.may_reach(request.host, request.port):
        return who
    else:
        denied = UNREACHABLE
    bridge.refusals.count(denied.reason, client=connection.peer, host=request.host, port=request.port)
    raise DeniedError(denied)
