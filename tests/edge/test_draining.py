"""The end of all client connections: who is told what, who is waited for, and for how long."""

import asyncio
from typing import cast

import pytest

from config.schema import Drain
from proxy.edge.draining import Draining
from proxy.edge.relay import Relay
from tests.edge.harness import Client, Edge, get
from tests.edge.test_connection import Gate
from tests.edge.test_http2_connection import Http2Client
from tests.support.exchanges import turns

SOON = Drain(timeout_s=5.0, idle_s=0.3)


class Sockets:
    """The edge's connections, and some that did not say yet what they want."""

    def __init__(self, edge: Edge, *silent: str) -> None:
        self._edge = edge
        self.silent = list(silent)

    @property
    def open_connections(self) -> int:
        return len(self._edge.bridge.connections) + len(self.silent)

    def unclaimed(self) -> list[str]:
        return list(self.silent)

    def close(self, handler: str, /) -> None:
        self.silent.remove(handler)


class Ending:
    """An edge that is being drained."""

    def __init__(self, edge: Edge, limits: Drain = SOON, *silent: str) -> None:
        self.hurry = asyncio.Event()
        self.sockets = Sockets(edge, *silent)
        self._began = asyncio.get_running_loop().time()
        self.task = asyncio.ensure_future(Draining(edge.bridge, self.sockets, limits).run(self.hurry))

    async def end(self) -> tuple[int, float]:
        """How many were cut off, and after how long."""
        return await self.task, asyncio.get_running_loop().time() - self._began


async def closed(client: Client) -> None:
    async with asyncio.timeout(5):
        while not client.transport.closing:
            await asyncio.sleep(0.01)


async def test_nothing_open_ends_at_once() -> None:
    ending = Ending(Edge())
    await turns()
    assert ending.task.done()


async def test_the_next_answer_says_close() -> None:
    edge = Edge()
    client = edge.connect()
    ending = Ending(edge)
    await turns()
    assert not client.transport.closing
    got = client.send(get("/v1/1"))
    await turns()
    got += client.transport.take()
    assert b"connection: close" in got
    assert client.transport.closing
    assert (await ending.end())[0] == 0


async def test_a_call_under_way_is_answered_and_an_idle_connection_closed_after_a_while() -> None:
    gate = Gate()
    edge = Edge(gate)
    idle, busy = edge.connect(), edge.connect()
    busy.send(get("/v1/1"))
    ending = Ending(edge)
    await turns()
    assert not idle.transport.closing
    await closed(idle)
    assert not busy.transport.closing
    gate.open.set()
    assert (await ending.end())[0] == 0
    got = busy.transport.take()
    assert b"connection: close" in got
    assert got.endswith(b"/v1/1")


async def test_a_new_connection_is_served_and_told() -> None:
    edge = Edge()
    busy = edge.connect()
    ending = Ending(edge)
    await turns()
    late = edge.connect()
    got = late.send(get())
    await turns()
    assert b"connection: close" in got + late.transport.take()
    await closed(busy)
    assert (await ending.end())[0] == 0


async def test_an_answer_that_the_client_has_not_read_is_waited_for() -> None:
    edge = Edge()
    client = edge.connect()
    client.send(get())
    client.transport.unread = 100
    ending = Ending(edge, Drain(timeout_s=5.0, idle_s=0.0))
    await asyncio.sleep(0.25)
    assert not client.transport.closing
    client.transport.unread = 0
    await closed(client)
    assert (await ending.end())[0] == 0


async def test_who_says_nothing_is_let_go_after_a_while() -> None:
    ending = Ending(Edge(), SOON, "silent")
    await turns()
    assert ending.sockets.silent
    cut_off, took_s = await ending.end()
    assert (cut_off, ending.sockets.silent) == (0, [])
    assert took_s >= 0.29  # clocks differ a little


async def test_what_does_not_end_in_time_is_cut_off() -> None:
    edge = Edge(Gate())
    edge.connect().send(get())
    assert (await Ending(edge, Drain(timeout_s=0.01)).end())[0] == 1
    assert len(edge.bridge.tasks) == 0
    assert edge.finished[0].error == "client_disconnected"


class Relayed:
    """A relay that goes on."""

    def __init__(self) -> None:
        self.is_closed = False

    def close(self) -> None:
        self.is_closed = True


async def test_what_is_no_http_any_more_goes_on_up_to_the_limit() -> None:
    edge = Edge()
    client, relay = edge.connect(), Relayed()
    client.connection.relay_to(cast(Relay, relay))
    ending = Ending(edge, Drain(timeout_s=0.5, idle_s=0.0))
    await asyncio.sleep(0.3)
    assert not client.transport.closing
    assert (await ending.end())[0] == 0
    await turns()
    assert (client.transport.closing, relay.is_closed) == (True, True)


async def test_hurry_cuts_off_what_is_under_way() -> None:
    edge = Edge(Gate())
    edge.connect().send(get())
    ending = Ending(edge)
    await turns()
    ending.hurry.set()
    cut_off, took_s = await ending.end()
    assert cut_off == 1
    assert took_s < 1


@pytest.mark.parametrize("limit", [1.0, 60.0])
async def test_http2_is_told_when_no_call_is_under_way_or_half_of_the_time_is_over(limit: float) -> None:
    gate = Gate()
    edge = Edge(gate)
    client = Http2Client(edge)
    client.ask(1)
    client.client.transport.take()
    ending = Ending(edge, Drain(timeout_s=limit, idle_s=0.3))
    await asyncio.sleep(0.25)
    assert not client.client.transport.take()
    if limit == 1.0:
        await asyncio.sleep(0.45)
        assert b"\x7f\xff\xff\xff" in client.client.transport.take()
    gate.open.set()
    assert (await ending.end())[0] == 0
    said = client.client.transport.take()
    assert b"/v1/x" in said
    if limit != 1.0:
        assert said.index(b"/v1/x") < said.index(b"\x7f\xff\xff\xff")
    assert client.client.transport.closing
