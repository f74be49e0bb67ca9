"""The listeners of the settings, as mitmproxy's modes."""

import asyncio
import os
import socket
from collections.abc import Callable, Sequence

from mitmproxy.proxy.mode_specs import ProxyMode

from config.schema import Drain, Listener, split_address
from proxy.access.credentials import Credentials
from proxy.edge.acceptor import Handshake, ReadyListeners, Secured
from proxy.edge.bridge import Bridge
from proxy.edge.decide import Going
from proxy.edge.destination import split_authority
from proxy.edge.draining import Draining
from proxy.edge.front import Front
from proxy.edge.select import Select
from proxy.edge.servers import Servers

# Where such a listener leads is our own business. For https:// mitmproxy would also listen on UDP, for QUIC that never
# comes to us, on a thread that outlives the interpreter and crashes it at times.
_REVERSE = "reverse:tcp://listener.invalid:443"


class ListenError(Exception):
    """A listener could not be opened; the text says which and why."""

    def __init__(self, address: str, purpose: str, failure: BaseException | None) -> None:
        reason = str(failure or "no address")
        if isinstance(failure, OSError) and failure.errno is not None and failure.errno > 0:
            reason = os.strerror(failure.errno)  # asyncio's own text repeats the address
        super().__init__(f"cannot listen on {address} ({purpose}): {reason}")


class Edge:
    """The client side as a whole."""

    def __init__(self, bridge: Bridge, listeners: Sequence[Listener], *, first_client: Callable[[], None]) -> None:
        """`first_client` is called once, when the first client connects. Raises SettingsError."""
        self._bridge = bridge
        self._listeners = listeners
        self._is_over = False
        modes = {mode_spec(listener, number): going(listener) for number, listener in enumerate(listeners)}
        self._modes = [ProxyMode.parse(spec) for spec in modes]
        self._servers = Servers()
        self._fronts = [Front(listener.tls) if listener.tls is not None else None for listener in listeners]
        self._bridge = bridge
        known = {spec: goes for spec, goes in modes.items() if goes is not None}
        self.select = Select(bridge, self._servers, known, first_client)

    async def start(self, ready: ReadyListeners | None = None) -> list[tuple[str, str]]:
        """Open all listeners, or take those that are bound already; returns (mode, address) of each.

        Raises ListenError.
        """
        await self._servers.start(self._modes, self.select, ready, [self._secured(front) for front in self._fronts])
        bound = []
        for listener, instance in zip(self._listeners, self._servers.instances, strict=True):
            if not instance.is_running or not instance.listen_addrs:
                failure = instance.last_exception
                cause = failure.__cause__ if failure is not None else None
                await self.stop()
                raise ListenError(listener.address, listener.mode, cause or failure) from failure
            bound.append((listener.mode, _shown(instance.listen_addrs[0])))
        return bound

    def _secured(self, front: Front | None) -> Secured | None:
        if front is None:
            return None

        def next_handshake() -> Handshake:
            limits = self._bridge.settings.limits
            return Handshake(front.context, limits.client_head_s, limits.max_connections)

        return next_handshake

    def keep_only(self, tokens: Credentials) -> None:
        """What came with a token that is not good any more ends: calls once they are answered, tunnels at once."""
        self._bridge.keep_only(tokens)
        self._servers.close_unproven(tokens)

    def poll(self) -> None:
        """Look whether the listeners' certificates are new."""
        for front in self._fronts:
            if front is not None:
                front.poll()

    def take(self, connection: socket.socket, listener: int) -> None:
        """Serve a connection that another process has accepted, or close it when this one has ended."""
        if self._is_over:
            connection.close()
        else:
            self._servers.take(connection, listener)

    def keep(self) -> None:
        """The end is near: hand no connection on to another process any more."""
        self._servers.keep()

    async def stop_accepting(self) -> None:
        """Close the listeners; connections that are there stay."""
        await self._servers.stop_accepting()

    async def drain(self, limits: Drain, hurry: asyncio.Event) -> int:
        """Let all connections come to an end; returns how many exchanges were cut off."""
        return await Draining(self._bridge, self._servers, limits).run(hurry)

    async def stop(self) -> None:
        """Close everything that is left."""
        self._is_over = True
        await self._servers.stop_accepting()
        self._servers.close_connections()


def mode_spec(listener: Listener, number: int = 0) -> str:
    """mitmproxy's way of saying a listener: `mode@host:port`, IPv6 without brackets. Unlike those of mitmproxy's users,
    ours may take a free port more than once: `number` tells such listeners apart, by zeros."""
    host, given = split_address(listener.address)
    port = str(given) if given else "0" * (number + 1)
    if listener.mode == "hosts" or listener.mode.startswith("reverse:"):
        return f"{_REVERSE}@{host}:{port}"
    return f"{listener.mode}@{host}:{port}"


def going(listener: Listener) -> Going | None:
    """Where this listener's connections go, if the listener says so."""
    if listener.mode == "hosts":
        return Going("", 443)
    if not listener.mode.startswith("reverse:"):
        return None
    scheme, _, rest = listener.mode.removeprefix("reverse:").partition("://")
    host, port = split_authority(rest.partition("/")[0], 443 if scheme == "https" else 80)
    return Going(host, port, fixed=True, tls=scheme == "https")


def _shown(address: tuple[str, int]) -> str:
    host, port = address[0], address[1]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
