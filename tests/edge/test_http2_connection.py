"""The same connection speaking HTTP/2: streams beside each other, windows, resets."""

import asyncio

import pytest
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.events import DataReceived, Event, ResponseReceived, StreamEnded, StreamReset

from proxy.exchange.model import Exchange, Response
from proxy.wire.http2 import Http2Server
from tests.edge.harness import Client, Edge, hello
from tests.edge.test_connection import Gate, Streaming
from tests.support.exchanges import SSE, Fed, answer, read_all, turns


class Http2Client:
    """h2's client role, joined to a connection."""

    def __init__(self, edge: Edge, *, window: int | None = None) -> None:
        self.client: Client = edge.connect()
        self.client.connection.codec = Http2Server(edge.bridge.wire_limits())
        self.h2 = H2Connection(H2Configuration(client_side=True, header_encoding=None))
        self.h2.initiate_connection()
        if window is not None:
            self.h2.update_settings({4: window})
        self.events: list[Event] = []
        self.pump()

    def pump(self) -> None:
        """Carry bytes both ways until nobody has any."""
        while True:
            out = self.h2.data_to_send()
            if out:
                self.client.connection.data_received(out)
            back = self.client.transport.take()
            if back:
                self.events += self.h2.receive_data(back)
            if not out and not back:
                return

    def ask(self, stream: int, path: str = "/v1/x", body: bytes | None = None, *, end: bool = True) -> None:
        fields = [(":method", "POST" if body is not None else "GET"), (":scheme", "https"), (":path", path)]
        self.h2.send_headers(stream, [*fields, (":authority", "api.openai.com")], end_stream=end and body is None)
        if body is not None:
            self.h2.send_data(stream, body, end_stream=end)
        self.pump()

    def body(self, stream: int) -> bytes:
        """What has come of the answer."""
        return b"".join(e.data for e in self.events if isinstance(e, DataReceived) and e.stream_id == stream)

    def has(self, kind: type[Event], stream: int) -> bool:
        return any(isinstance(event, kind) and getattr(event, "stream_id", None) == stream for event in self.events)


async def test_streams_are_answered_beside_each_other() -> None:
    gate = Gate()
    client = Http2Client(Edge(gate))
    for number in range(10):
        client.ask(2 * number + 1, f"/v1/{number}")
    assert len(gate.asked) == 10
    gate.open.set()
    await turns()
    client.pump()
    assert [client.body(2 * number + 1) for number in range(10)] == [b"/v1/%d" % number for number in range(10)]


async def test_a_reset_cancels_its_exchange_and_no_other() -> None:
    bodies = [Fed(), Fed()]

    async def streaming(called: Exchange) -> Response:
        return answer(bodies[called.request.path == "/v1/other"], headers=SSE)

    edge = Edge(streaming)
    client = Http2Client(edge)
    client.ask(1)
    client.ask(3, "/v1/other")
    client.h2.reset_stream(1, ErrorCodes.CANCEL)
    client.pump()
    await turns()
    assert [body.closed for body in bodies] == [1, 0]
    assert [finished.error for finished in edge.finished] == ["client_disconnected"]
    bodies[1].feed(b"data")
    bodies[1].end()
    await turns()
    client.pump()
    assert client.body(3) == b"data"
    assert client.has(StreamEnded, 3)


async def test_an_answer_for_a_stream_that_was_reset_goes_nowhere() -> None:
    gate = Gate()
    edge = Edge(gate, on_disconnect="drain")
    client = Http2Client(edge)
    client.ask(1)
    client.h2.reset_stream(1, ErrorCodes.CANCEL)
    client.pump()
    gate.open.set()
    await turns()
    client.pump()
    assert not client.has(ResponseReceived, 1)
    assert edge.finished[0].error == "client_disconnected"
    client.ask(3)
    assert client.body(3) == b"/v1/x"


async def test_a_client_that_gives_no_window_slows_its_origin_and_no_other() -> None:
    bodies = [Fed(), Fed()]
    taken = [0, 0]

    class Counted(Fed):
        def __init__(self, index: int) -> None:
            super().__init__()
            self._index = index

        async def read(self) -> bytes | None:
            piece = await super().read()
            taken[self._index] += 1
            return piece

    bodies = [Counted(0), Counted(1)]

    async def streaming(called: Exchange) -> Response:
        return answer(bodies[called.request.path == "/v1/other"], headers=SSE)

    client = Http2Client(Edge(streaming), window=1000)
    client.ask(1)
    bodies[0].feed(*[b"x" * 50_000] * 20)
    await turns(40)
    client.pump()
    assert client.body(1) == b"x" * 1000
    assert taken[0] <= 6  # what may wait for the window, and one more
    client.ask(3, "/v1/other")
    bodies[1].feed(b"other")
    bodies[1].end()
    await turns()
    client.pump()
    assert client.body(3) == b"other"
    client.h2.increment_flow_control_window(2_000_000, stream_id=1)
    client.h2.increment_flow_control_window(2_000_000)
    client.pump()
    bodies[0].end()
    await turns(60)
    client.pump()
    assert len(client.body(1)) == 1_000_000
    assert client.has(StreamEnded, 1)


async def test_a_client_that_does_not_read_is_not_read_either() -> None:
    edge = Edge()
    client = Http2Client(edge)
    client.client.connection.pause_writing()
    client.ask(1)
    assert not client.client.is_reading()
    client.client.connection.resume_writing()
    assert client.client.is_reading()
    client.ask(3)
    assert client.body(3) == b"/v1/x"


async def test_a_client_that_leaves_while_its_window_is_shut_frees_everything() -> None:
    streaming = Streaming()
    edge = Edge(streaming)
    client = Http2Client(edge, window=10)
    client.ask(1)
    streaming.body.feed(b"x" * 400_000, b"y")
    await turns()
    client.client.connection.connection_lost(None)
    await turns()
    assert streaming.body.closed == 1
    assert len(edge.bridge.tasks) == 0
    assert not client.client.connection.waiting_for_window


async def test_a_broken_off_answer_resets_its_stream() -> None:
    streaming = Streaming()
    client = Http2Client(Edge(streaming))
    client.ask(1)
    streaming.body.feed(b"x")
    streaming.body.fail()
    await turns()
    client.pump()
    assert client.has(StreamReset, 1)
    assert not client.client.transport.closing


async def test_a_body_that_is_relayed_gives_back_each_byte_of_window_once() -> None:
    async def read(called: Exchange) -> Response:
        return answer(b"%d" % len(await read_all(called.request.body)))

    client = Http2Client(Edge(read, limits={"max_request_bytes": 20_000}))
    client.ask(1, body=b"", end=False)
    size = 2_000_000
    sent = 0
    first_window = client.h2.local_flow_control_window(1)
    async with asyncio.timeout(20):
        while sent < size:
            room = min(client.h2.local_flow_control_window(1), client.h2.max_outbound_frame_size, size - sent)
            if room:
                client.h2.send_data(1, b"x" * room)
                sent += room
            client.pump()
            assert client.h2.local_flow_control_window(1) <= first_window  # never more than was granted at first
            await turns(1)
    client.h2.end_stream(1)
    client.pump()
    await turns()
    client.pump()
    assert client.body(1) == b"2000000"


async def test_an_early_answer_resets_what_is_still_being_sent() -> None:
    client = Http2Client(Edge(hello, limits={"max_request_bytes": 1024}))
    client.ask(1, body=b"x" * 5000, end=False)
    await turns()
    client.pump()
    assert client.body(1) == b"/v1/x"
    assert client.has(StreamReset, 1)
    client.ask(3)
    assert client.body(3) == b"/v1/x"


@pytest.mark.parametrize("sent", [b"not http/2 at all, but long enough to be told apart", b"\x00" * 60])
async def test_a_client_that_breaks_the_protocol_is_let_go(sent: bytes) -> None:
    edge = Edge()
    client = Http2Client(edge)
    client.client.connection.data_received(sent)
    assert client.client.transport.closing
    assert edge.count("skinflint_bad_requests_total", "400") == 1
