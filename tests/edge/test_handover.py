"""A socket that is handed over leaves nothing in mitmproxy, and loses no byte; those that are not stay mitmproxy's."""

import asyncio
import gc
import weakref
from collections.abc import AsyncIterator, Callable
from typing import cast

import pytest
from mitmproxy.connection import Client
from mitmproxy.proxy import commands, events, layer
from mitmproxy.proxy.context import Context
from mitmproxy.proxy.mode_specs import ProxyMode

from proxy.edge.handover import GatedReader, Handover
from proxy.edge.servers import Servers
from proxy.exchange.tenant import Tenant

SPEC = "regular@127.0.0.1:0"


class Echo(asyncio.Protocol):
    """What is put on the socket."""

    def __init__(self, handover: Handover) -> None:
        self._handover = handover
        self.is_lost = False

    def data_received(self, data: bytes) -> None:
        self._handover.transport.write(data.upper())

    def connection_lost(self, exc: Exception | None) -> None:
        self.is_lost = True
        self._handover.finish()


class HandOver(layer.Layer):
    """Takes the socket at once."""

    def __init__(self, context: Context, hooks: "Hooks", seen: bytes) -> None:
        super().__init__(context)
        self._hooks = hooks
        self._seen = seen

    def _handle_event(self, event: events.Event) -> layer.CommandGenerator[None]:
        if isinstance(event, events.Start):
            hooks = self._hooks
            handover = hooks.servers.hand_over(self.context.client)
            hooks.left += [weakref.ref(hooks.servers.connections[self.context.client.id]), weakref.ref(self)]
            hooks.left += [weakref.ref(self.context), weakref.ref(self.context.client)]
            echo = Echo(handover)
            hooks.echoes.append(echo)
            echo.data_received(handover.begin(echo, self._seen, dead_peer_s=0))
        elif isinstance(event, events.ConnectionClosed):
            yield commands.CloseConnection(self.context.client)


class Hooks:
    """Hands connections over once `wanted` bytes have come."""

    def __init__(self, servers: Servers, wanted: int) -> None:
        self.servers = servers
        self.left: list[weakref.ref[object]] = []
        self.echoes: list[Echo] = []
        self.refuses = False
        self.ended = 0
        self.silence_s = 0.0
        self.gates: list[GatedReader] = []
        self._wanted = wanted

    async def client_connected(self, client: Client) -> None:
        if self.refuses:
            client.error = "refused"
            return
        io = self.servers.connections[client.id].transports[client]
        gate = GatedReader(cast(asyncio.StreamReader, io.reader))
        io.reader = gate  # type: ignore[assignment]
        gate.expect_choice(30, cast(asyncio.StreamWriter, io.writer).transport)
        self.gates.append(gate)
        if self.silence_s:
            gate.expect_words(self.silence_s, lambda: self.take(client))

    def take(self, client: Client) -> None:
        """It has said nothing."""
        handover = self.servers.hand_over(client)
        echo = Echo(handover)
        self.echoes.append(echo)
        echo.data_received(handover.begin(echo, b"", dead_peer_s=0))

    async def client_disconnected(self, client: Client) -> None:
        self.ended += 1

    def next_layer(self, nextlayer: layer.NextLayer) -> None:
        data = cast(bytes, nextlayer.data_client())  # type: ignore[no-untyped-call]
        if b"!" in data:
            raise ValueError("a choice that fails")
        if len(data) >= self._wanted:
            nextlayer.layer = HandOver(nextlayer.context, self, data)
        elif data:
            self.servers.hand_over(nextlayer.context.client).more()


class Running:
    """Listening servers, and their hooks."""

    def __init__(self) -> None:
        self.servers = Servers()
        self.hooks = Hooks(self.servers, wanted=4)

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        host, port = self.servers.instances[0].listen_addrs[0][:2]
        return await asyncio.open_connection(host, port)


@pytest.fixture
async def running() -> AsyncIterator[Running]:
    running = Running()
    await running.servers.start([ProxyMode.parse(SPEC)], running.hooks)
    yield running
    await running.servers.stop_accepting()
    running.servers.close_connections()
    await until(lambda: not running.servers.client_connections)


async def until(is_so: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not is_so():
            await asyncio.sleep(0)


async def closed(writer: asyncio.StreamWriter) -> None:
    writer.close()
    await writer.wait_closed()


async def test_no_byte_is_lost_at_the_handover(running: Running) -> None:
    reader, writer = await running.connect()
    said = b""
    for piece in (b"a", b"b", b"c", b"d", b"e" * 100_000, b"f"):
        writer.write(piece)
        await writer.drain()
        await asyncio.sleep(0)
        said += piece
    assert await reader.readexactly(len(said)) == said.upper()
    await closed(writer)


async def test_nothing_of_mitmproxy_is_left_while_the_connection_lives(running: Running) -> None:
    reader, writer = await running.connect()
    writer.write(b"hello")
    assert await reader.readexactly(5) == b"HELLO"
    await until(lambda: len(asyncio.all_tasks()) == 1)  # mitmproxy's have ended
    gc.collect()
    assert [left() for left in running.hooks.left] == [None] * 4
    assert (len(running.servers.connections), len(running.servers.handed_over)) == (0, 1)
    writer.write(b"still there")
    assert await reader.readexactly(11) == b"STILL THERE"
    await closed(writer)


async def test_the_end_is_seen_by_whoever_has_the_socket(running: Running) -> None:
    reader, writer = await running.connect()
    writer.write(b"hello")
    assert await reader.readexactly(5) == b"HELLO"
    await closed(writer)
    await until(lambda: not running.servers.client_connections)
    assert running.hooks.echoes[0].is_lost


async def test_what_was_handed_over_is_closed_at_the_end(running: Running) -> None:
    reader, writer = await running.connect()
    writer.write(b"hello")
    assert await reader.readexactly(5) == b"HELLO"
    running.servers.close_connections()
    assert await reader.read() == b""
    await closed(writer)


async def test_what_nobody_took_yet_is_closed_at_the_end(running: Running) -> None:
    reader, writer = await running.connect()
    await until(lambda: running.servers.client_connections == 1)
    running.servers.close_connections()
    assert await reader.read() == b""
    await closed(writer)


async def test_a_choice_that_fails_leaves_the_others_alone(running: Running) -> None:
    _, failing = await running.connect()
    failing.write(b"!")
    reader, writer = await running.connect()
    writer.write(b"hello")
    assert await reader.readexactly(5) == b"HELLO"
    await closed(writer)
    await closed(failing)


async def test_a_client_may_be_refused(running: Running) -> None:
    running.hooks.refuses = True
    reader, writer = await running.connect()
    assert await reader.read() == b""
    await closed(writer)
    assert not running.hooks.echoes


async def test_an_address_in_use_is_said(running: Running) -> None:
    host, port = running.servers.instances[0].listen_addrs[0][:2]
    others = Servers()
    await others.start([ProxyMode.parse(f"regular@{host}:{port}")], running.hooks)
    assert not others.instances[0].is_running
    assert isinstance(others.instances[0].last_exception, OSError)
    await others.stop_accepting()


async def test_a_client_that_is_silent_is_taken_without_losing_a_byte(running: Running) -> None:
    running.hooks.silence_s = 0.01
    reader, writer = await running.connect()
    await until(lambda: bool(running.hooks.echoes))
    assert (len(running.servers.connections), len(running.servers.handed_over)) == (0, 1)
    writer.write(b"hello")
    assert await reader.readexactly(5) == b"HELLO"
    await until(lambda: running.hooks.ended == 1)  # for mitmproxy
    await closed(writer)
    await until(lambda: running.hooks.echoes[0].is_lost)


async def test_a_client_that_has_begun_to_speak_is_not_taken_for_silent(running: Running) -> None:
    running.hooks.silence_s = 0.02
    reader, writer = await running.connect()
    writer.write(b"a")
    await writer.drain()
    await until(lambda: bool(running.hooks.gates) and not running.hooks.gates[0].is_silent)
    await asyncio.sleep(0.05)
    assert not running.hooks.echoes
    writer.write(b"bcd")
    assert await reader.readexactly(4) == b"ABCD"
    await closed(writer)


async def test_a_tunnel_in_which_nothing_was_said_ends_with_its_token(running: Running) -> None:
    reader, writer = await running.connect()
    other, another = await running.connect()
    await until(lambda: len(running.hooks.gates) == 2)
    running.hooks.gates[0].tenant = Tenant("team", proof="revoked")
    running.hooks.gates[1].tenant = Tenant("team", proof="good")
    running.servers.close_unproven({"good"})
    assert await reader.read() == b""
    another.write(b"hello")
    assert await other.readexactly(5) == b"HELLO"
    await closed(writer)
    await closed(another)


class Transport(asyncio.WriteTransport):
    """Tells whether it was closed."""

    is_closed = False

    def close(self) -> None:
        self.is_closed = True

    def get_extra_info(self, name: str, default: object = None) -> object:
        return default


async def test_who_is_waited_for_is_not_closed_until_it_has_begun_to_speak() -> None:
    inner, transport = asyncio.StreamReader(), Transport()
    gate = GatedReader(inner)
    gate.expect_choice(0.02, transport)
    gate.expect_words(60, lambda: None)
    gate.wait_on(60)
    await asyncio.sleep(0.05)
    assert not transport.is_closed
    inner.feed_data(b"\x16")
    assert await gate.read(10) == b"\x16"
    gate.more()
    await until(lambda: transport.is_closed)
