"""Chooses what becomes of each client connection.

mitmproxy accepts and tells where a connection was going; `next_layer` asks us. What is ours, and what is relayed, both
leave mitmproxy by handover (takeover.py); the decision itself is in decide.py.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import cast

from mitmproxy.connection import Client
from mitmproxy.net.tls import starts_like_tls_record
from mitmproxy.proxy import layer
from mitmproxy.proxy.context import Context
from mitmproxy.proxy.layers.tls import parse_client_hello
from mitmproxy.proxy.mode_specs import RegularMode, TransparentMode

from proxy.access import gate as access
from proxy.access.networks import plain
from proxy.edge.bridge import Bridge
from proxy.edge.connect import ConnectLayer
from proxy.edge.decide import (
    Close,
    Decision,
    Going,
    Hello,
    Tunnel,
    decide_plain,
    decide_tls,
    is_too_short,
    may_speak_first,
)
from proxy.edge.handover import GatedReader, Handover
from proxy.edge.pins import PinKey, tls_stack
from proxy.edge.servers import Servers
from proxy.edge.silence import Silence
from proxy.edge.takeover import TakeOver
from proxy.exchange.tenant import Tenant

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
        self.silence = Silence(self)

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
        if isinstance(client.proxy_mode, TransparentMode):
            gate.is_straight = _is_straight(client, writer)
            if not gate.is_straight:
                self.expect_words(self._servers.connections[client.id].layer.context)

    async def client_disconnected(self, client: Client) -> None:
        """It is gone, or not mitmproxy's any more."""
        prelude = self.silence.end(client.id)
        if prelude is not None:
            prelude.close()

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
        if self._gated(context).is_straight:
            decision: Decision | None = Close("not_redirected")
        else:
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
        gated = self._gated(context)
        if gated.tenant is not None:
            return gated.tenant
        who = self.bridge.gate.admit(self.client(context), authorization)
        gated.tenant = who if isinstance(who, Tenant) else None
        return who

    def expect_words(self, context: Context) -> None:
        """Where this connection goes is known, and nothing was said on it yet: that may be for the origin to do."""
        self.silence.watch(context, self._gated(context), _going(context))

    def _gated(self, context: Context) -> GatedReader:
        io = self._servers.connections[context.client.id].transports[context.client]
        return cast(GatedReader, io.reader)

    def carry_out(self, context: Context, decision: Decision, seen: bytes) -> layer.Layer:
        """The layer that does what was decided. `seen`: what mitmproxy was given of the client's bytes."""
        return TakeOver(context, self, decision, seen)

    # -- choosing

    def decide(self, data: bytes, going: Going, client: Client) -> Decision | None:
        """None: more bytes are needed."""
        if is_too_short(data, is_relayed=may_speak_first(going, self)):
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

    def has(self, context: Context) -> bool:
        """Is this connection there, and still mitmproxy's?"""
        return context.client.id in self._servers.connections

    def close(self, context: Context) -> None:
        """Close a connection that is still mitmproxy's."""
        handler = self._servers.connections.get(context.client.id)
        if handler is not None:
            self._servers.close(handler)

    def listens_on(self, host: str, port: int) -> bool:
        """Would a connection there come back to us?"""
        for instance in self._servers.instances:
            for address in instance.listen_addrs:
                if port == address[1] and host in ("localhost", "127.0.0.1", "::1", address[0]):
                    return True
        return False


def _client(client: Client, writer: asyncio.StreamWriter) -> access.Client:
    tls = writer.get_extra_info("ssl_object")
    return access.Client(client.peername[0], tls.getpeercert(binary_form=True) if tls is not None else None)


def _is_straight(client: Client, writer: asyncio.StreamWriter) -> bool:
    """Did nobody redirect it? Then it would be led to ourselves, again and again."""
    own = writer.get_extra_info("sockname")
    return (plain(own[0]), own[1]) == client.sockname[:2]


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
