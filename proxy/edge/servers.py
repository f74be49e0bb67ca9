"""Our side of mitmproxy's listeners: what its server instances and connection handlers ask of a master.

mitmproxy's own master, with its addon manager, commands and option store, is for programs that people extend while
they run; here one object answers the two hooks that are used. mitmproxy keeps its master and options in its module
`ctx`: so there is one set of listeners a process. A connection is known here from its acceptance until it is handed
over, and from then on by its Handover.
"""

import asyncio
import os
import socket
import time
from collections.abc import Container, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, cast

import structlog
from mitmproxy import ctx
from mitmproxy.connection import Client
from mitmproxy.proxy.commands import StartHook
from mitmproxy.proxy.layer import NextLayer, NextLayerHook
from mitmproxy.proxy.mode_servers import AsyncioServerInstance, ProxyConnectionHandler, ServerInstance
from mitmproxy.proxy.mode_specs import ProxyMode
from mitmproxy.proxy.server_hooks import ClientConnectedHook, ClientDisconnectedHook

from proxy.edge.acceptor import Acceptor, Alone, Balance, ReadyListeners, Secured
from proxy.edge.handover import GatedReader, Handover
from proxy.exchange.tenant import Tenant

if TYPE_CHECKING:
    from mitmproxy.master import Master
    from mitmproxy.options import Options

log = structlog.get_logger(__name__)

_HANDED_ON_S = 0.1  # another process may hand one on until it has heard of the end as well
_TURNS = 4  # accepted, made known to asyncio, its task begun, made known here
_LONGEST_S = 2**31  # our own deadlines apply; mitmproxy's are in the way of long thinking models


class Hooks(Protocol):
    """Whoever chooses what becomes of connections."""

    async def client_connected(self, client: Client) -> None:
        """A client has connected, and nothing has been read yet. Setting `client.error` refuses it."""
        ...

    async def client_disconnected(self, client: Client) -> None:
        """It is gone, or its socket is in other hands."""
        ...

    def next_layer(self, nextlayer: NextLayer) -> None:
        """Choose `nextlayer.layer`, or leave it, to be asked again after the next piece."""
        ...


@dataclass(frozen=True, slots=True)
class _Options:
    """The options that mitmproxy's listeners, handlers and first layers read."""

    listen_host: str = ""
    listen_port: int | None = None
    tcp_timeout: int = _LONGEST_S
    connection_strategy: str = "lazy"
    keep_host_header: bool = True
    proxy_debug: bool = False


class Servers:
    """mitmproxy's listeners. It is their `ServerManager`, their `Master` and its `addons` in one."""

    def __init__(self) -> None:
        self.connections: dict[tuple[object, ...] | str, ProxyConnectionHandler] = {}
        self.handed_over: set[Handover] = set()
        self.instances: list[ServerInstance[ProxyMode]] = []
        self._hooks: Hooks | None = None
        self._acceptors: list[Acceptor] = []
        self._arriving = 0  # accepted, and not yet known to mitmproxy
        self._balance: Balance | None = None
        self._secured: Sequence[Secured | None] = ()
        self._handed_on_until = 0.0

    @property
    def addons(self) -> "Servers":
        """What mitmproxy's handlers tell their hooks to."""
        return self

    @property
    def client_connections(self) -> int:
        """How many there are."""
        return len(self.connections) + len(self.handed_over)

    async def start(
        self,
        modes: Sequence[ProxyMode],
        hooks: Hooks,
        ready: ReadyListeners | None = None,
        secured: Sequence[Secured | None] = (),
    ) -> None:
        """Open a listener for each mode, or take its bound sockets; one that fails has `last_exception` and is not
        running. `secured`: those that have TLS of their own."""
        self._secured = secured or [None] * len(modes)
        self._hooks = hooks
        ctx.master = cast("Master", self)
        ctx.options = cast("Options", _Options())
        self.instances = [ServerInstance.make(mode, self) for mode in modes]
        if ready is not None:
            self._listen_on(ready)
            return
        for number, instance in enumerate(self.instances):
            with suppress(OSError):
                await instance.start()
                if self._secured[number] is not None:
                    self._secure(number, instance)

    def _secure(self, number: int, instance: ServerInstance[ProxyMode]) -> None:
        """mitmproxy has bound the sockets; who accepts from them is another."""
        assert isinstance(instance, AsyncioServerInstance)
        bound = [socket.socket(fileno=os.dup(each.fileno())) for server in instance._servers for each in server.sockets]  # type: ignore[union-attr]
        for server in instance._servers:
            server.close()
        for each in bound:
            each.setblocking(False)
        acceptor = Acceptor(bound, number, instance.handle_stream, Alone(), self._arrive, secured=self._secured[number])
        instance._servers = [acceptor]  # type: ignore[list-item] # see `_listen_on`

    def _listen_on(self, ready: ReadyListeners) -> None:
        """mitmproxy has no way to take sockets: what its own `listen` makes is made here."""
        self._balance = ready.balance
        for number, (instance, sockets) in enumerate(zip(self.instances, ready.sockets, strict=True)):
            assert isinstance(instance, AsyncioServerInstance)
            acceptor = Acceptor(
                sockets, number, instance.handle_stream, ready.balance, self._arrive, secured=self._secured[number]
            )
            instance._servers = [acceptor]  # type: ignore[list-item] # of a server it uses `sockets` and `close`
            self._acceptors.append(acceptor)

    def take(self, connection: socket.socket, listener: int) -> None:
        """Serve a connection that another process has accepted."""
        self._acceptors[listener].take(connection)

    def keep(self) -> None:
        """Hand no connection on to another process any more."""
        if self._balance is not None:
            self._balance.keep()

    def _arrive(self, change: int) -> None:
        self._arriving += change
        self._tell()

    def _tell(self) -> None:
        if self._balance is not None:
            self._balance.holds(self._arriving + self.client_connections)

    async def stop_accepting(self) -> None:
        """Close the listeners; connections stay, and so do those that wait to be accepted."""
        instances, self.instances = self.instances, []
        await _turns()
        for instance in instances:
            if instance.is_running:
                await instance.stop()
        await _turns()
        if self._balance is not None:
            self._handed_on_until = time.monotonic() + _HANDED_ON_S

    @property
    def open_connections(self) -> int:
        """How many there are, with those that are just being accepted, and one that may yet be handed on to us."""
        return self._arriving + self.client_connections + (time.monotonic() < self._handed_on_until)

    def unclaimed(self) -> list[ProxyConnectionHandler]:
        """Connections of which nobody knows yet what they want."""
        return list(self.connections.values())

    def close(self, handler: ProxyConnectionHandler) -> None:
        """Close one of these."""
        for io in list(handler.transports.values()):
            if io.writer is not None:
                io.writer.close()  # a handler that has not begun yet would not, if it were only cancelled
            if io.handler is not None:
                io.handler.cancel("stopping")

    def close_unproven(self, tokens: Container[str]) -> None:
        """Close tunnels that were opened with a token that is not among these any more, and those in which nothing
        was said yet."""
        for handler in self.unclaimed():
            tenant = _tenant_of(handler)
            if tenant is not None and tenant.proof and tenant.proof not in tokens:
                self.close(handler)
        for handover in list(self.handed_over):
            if handover.proof and handover.proof not in tokens:
                handover.transport.close()

    def close_connections(self) -> None:
        """Close all that are left."""
        for handler in self.unclaimed():
            self.close(handler)
        for handover in list(self.handed_over):
            handover.transport.close()

    # -- what mitmproxy calls

    @contextmanager
    def register_connection(
        self, connection_id: tuple[object, ...] | str, handler: ProxyConnectionHandler
    ) -> Iterator[None]:
        """See mitmproxy's ServerManager."""
        self.connections[connection_id] = handler
        self._tell()
        try:
            yield
        finally:
            self.connections.pop(connection_id, None)  # it may have been handed over
            self._tell()

    async def handle_lifecycle(self, hook: StartHook) -> None:
        """See mitmproxy's AddonManager. An exception here would end the connection's task with its socket open."""
        hooks = self._hooks
        if hooks is None:
            return
        try:
            if isinstance(hook, NextLayerHook):
                hooks.next_layer(hook.data)
            elif isinstance(hook, ClientConnectedHook):
                await hooks.client_connected(hook.client)
            elif isinstance(hook, ClientDisconnectedHook):
                await hooks.client_disconnected(hook.client)
        except Exception as failure:
            log.error("hook_failed", hook=hook.name, error=type(failure).__name__, exc_info=failure)

    # -- handing over

    def hand_over(self, client: Client) -> Handover:
        """The right to this client's socket."""
        return Handover(self.connections[client.id], client, begun=self._begun, over=self._over)

    def _begun(self, handover: Handover) -> None:
        self.connections.pop(handover.client_id, None)
        self.handed_over.add(handover)

    def _over(self, handover: Handover) -> None:
        self.handed_over.discard(handover)
        self._tell()


def _tenant_of(handler: ProxyConnectionHandler) -> Tenant | None:
    io = handler.transports.get(handler.client)
    return io.reader.tenant if io is not None and isinstance(io.reader, GatedReader) else None


async def _turns() -> None:
    """Let the loop take the connections that wait, and begin with them."""
    for _ in range(_TURNS):
        await asyncio.sleep(0)
