"""mitmproxy, trimmed to what we use of it: listeners and modes, and nothing that touches HTTP.

Its master is run by hand: its own `run` installs asyncio's eager task factory, which uvloop does not take on
Python 3.13.0, and handles signals, which are ours.
"""

import os
from collections.abc import Sequence

from mitmproxy import options
from mitmproxy.addons.proxyserver import Proxyserver
from mitmproxy.master import Master
from mitmproxy.proxy.mode_specs import ProxyMode

from config.schema import Listener, split_address
from proxy.edge.bridge import Bridge
from proxy.edge.decide import Going
from proxy.edge.destination import split_authority
from proxy.edge.select import Select

# Where such a listener leads is our own business. For https:// mitmproxy would also listen on UDP, for QUIC that never
# comes to us, on a thread that outlives the interpreter and crashes it at times.
_REVERSE = "reverse:tcp://listener.invalid:443"
_LONGEST_S = 2**31  # our own deadlines apply; mitmproxy's are in the way of long thinking models


class ListenError(Exception):
    """A listener could not be opened; the text says which and why."""

    def __init__(self, address: str, purpose: str, failure: BaseException | None) -> None:
        reason = str(failure or "no address")
        if isinstance(failure, OSError) and failure.errno is not None and failure.errno > 0:
            reason = os.strerror(failure.errno)  # asyncio's own text repeats the address
        super().__init__(f"cannot listen on {address} ({purpose}): {reason}")


class Edge:
    """The client side as a whole."""

    def __init__(self, bridge: Bridge, listeners: Sequence[Listener]) -> None:
        self._listeners = listeners
        modes = {mode_spec(listener, number): going(listener) for number, listener in enumerate(listeners)}
        self._modes = [ProxyMode.parse(spec) for spec in modes]
        self._master = Master(options.Options(), with_termlog=False)
        self._server = Proxyserver()  # type: ignore[no-untyped-call]
        self.select = Select(bridge, self._server, {k: v for k, v in modes.items() if v is not None})
        self._master.addons.add(self._server, self.select)  # type: ignore[no-untyped-call]
        self._master.options.update(  # type: ignore[no-untyped-call]
            mode=_once_per_address(self._modes),
            connection_strategy="lazy",
            keep_host_header=True,
            tcp_timeout=_LONGEST_S,
        )

    async def start(self) -> list[tuple[str, str]]:
        """Open all listeners; returns (mode, address) of each. Raises ListenError."""
        await self._server.servers.update(self._modes)
        await self._master.running()
        bound = []
        for listener, instance in zip(self._listeners, self._server.servers, strict=True):
            if not instance.is_running or not instance.listen_addrs:
                failure = instance.last_exception
                cause = failure.__cause__ if failure is not None else None
                await self.stop()
                raise ListenError(listener.address, listener.mode, cause or failure) from failure
            bound.append((listener.mode, _shown(instance.listen_addrs[0])))
        return bound

    async def stop_accepting(self) -> None:
        """Close the listeners; connections that are there stay."""
        self.select.accepting = False
        await self._server.servers.update([])

    async def stop(self) -> None:
        """Close everything that is left."""
        await self._server.servers.update([])
        for handler in list(self._server.connections.values()):
            for io in list(handler.transports.values()):
                if io.handler is not None:
                    io.handler.cancel("stopping")
        await self._master.done()


def mode_spec(listener: Listener, number: int = 0) -> str:
    """mitmproxy's way of saying a listener: `mode@host:port`, IPv6 without brackets. Unlike those of mitmproxy's users,
    ours may take a free port more than once: `number` tells such listeners apart, by zeros."""
    host, given = split_address(listener.address)
    port = str(given) if given else "0" * (number + 1)
    if listener.mode == "hosts" or listener.mode.startswith("reverse:"):
        return f"{_REVERSE}@{host}:{port}"
    return f"{listener.mode}@{host}:{port}"


def _once_per_address(modes: Sequence[ProxyMode]) -> list[str]:
    """What mitmproxy's options take: they refuse two free ports on one host."""
    return list({(mode.custom_listen_host, mode.custom_listen_port): mode.full_spec for mode in modes}.values())


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
