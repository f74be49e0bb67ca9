"""A client's connection: order, pressure, deadlines, and every way it can end."""

import asyncio
import ssl
from pathlib import Path
from typing import cast

import pytest

from proxy.edge.pins import PinKey
from proxy.edge.tls import ServerTls
from proxy.exchange.model import Exchange, Response
from proxy.exchange.provider import Provider
from proxy.wire.http1 import Http1Server
from tests.edge.harness import OPENAI, Client, Edge, get, hello, post
from tests.edge.test_tls import Client as TlsClient
from tests.support.exchanges import SSE, Fed, answer, read_all, turns
from tests.support.x509 import TestCa

BAD = "skinflint_bad_requests_total"
CONNECTIONS = "skinflint_client_connections_total"


class Gate:
    """A chain that answers when it is told to."""

    def __init__(self) -> None:
        self.asked: list[Exchange] = []
        self.open = asyncio.Event()

    async def __call__(self, called: Exchange) -> Response:
        self.asked.append(called)
        await self.open.wait()
        return answer(called.request.target.encode())


class Streaming:
    """A chain that answers with a body that the test feeds."""

    def __init__(self) -> None:
        self.body = Fed()

    async def __call__(self, called: Exchange) -> Response:
        return answer(self.body, headers=SSE)


async def test_an_answer_that_is_there_at_once_is_sent_at_once() -> None:
    edge = Edge()
    client = edge.connect()
    got = client.send(get("/v1/a"))
    assert got.startswith(b"HTTP/1.1 200 OK\r\n")
    assert got.endswith(b"\r\n\r\n/v1/a")
    assert len(edge.bridge.tasks) == 0
    (finished,) = edge.finished
    assert (finished.status, finished.response_bytes, finished.client) == (200, 5, "10.0.0.1")


async def test_what_was_read_before_the_takeover_is_not_lost() -> None:
    client = Edge().connect(initial=get("/v1/early"))
    assert client.transport.take().endswith(b"/v1/early")


async def test_a_thousand_pipelined_requests_are_answered_in_order() -> None:
    edge = Edge()
    got = edge.connect().send(b"".join(get(f"/v1/{number}") for number in range(1000)))
    bodies = [part.partition(b"\r\n\r\n")[2] for part in got.split(b"HTTP/1.1 200 OK\r\n")[1:]]
    assert bodies == [b"/v1/%d" % number for number in range(1000)]
    assert len(edge.finished) == 1000


async def test_pipelined_requests_wait_for_the_one_before() -> None:
    gate = Gate()
    client = Edge(gate).connect()
    assert client.send(get("/v1/1") + get("/v1/2") + get("/v1/3")) == b""
    assert len(gate.asked) == 1
    gate.open.set()
    await turns()
    got = client.transport.take()
    assert [got.find(b"/v1/%d" % number) for number in (1, 2, 3)] == sorted(got.find(b"/v1/%d" % n) for n in (1, 2, 3))
    assert len(gate.asked) == 3


async def test_reading_stops_while_more_is_pipelined_than_is_used() -> None:
    gate = Gate()
    client = Edge(gate).connect()
    client.send(get() + get() * 30_000)
    assert not client.is_reading()
    gate.open.set()
    await turns(50)
    assert client.is_reading()
    assert len(gate.asked) == 30_001


async def test_a_body_is_collected_however_it_is_cut() -> None:
    async def echo(called: Exchange) -> Response:
        return answer(await read_all(called.request.body))

    client = Edge(echo).connect()
    for byte in post(b'{"model":"m"}'):
        got = client.send(bytes([byte]))
    assert got.endswith(b'{"model":"m"}')


async def test_a_client_that_pipelines_and_does_not_read_gets_no_further_answers() -> None:
    edge = Edge()
    client = edge.connect()
    client.connection.pause_writing()
    client.send(b"".join(get(f"/v1/{number}") for number in range(100)))
    assert len(edge.finished) == 1
    client.send(get("/v1/last"))
    assert len(edge.finished) == 1
    client.connection.resume_writing()
    assert len(edge.finished) == 101
    assert client.transport.take().endswith(b"/v1/last")


async def test_an_answer_that_came_later_does_not_let_the_next_ones_through_either() -> None:
    gate = Gate()
    edge = Edge(gate)
    client = edge.connect()
    client.send(get("/v1/1") + get("/v1/2") + get("/v1/3"))
    client.connection.pause_writing()
    gate.open.set()
    await turns()
    assert len(edge.finished) == 1
    client.connection.eof_received()
    assert not client.transport.closing
    client.connection.resume_writing()
    await turns()
    assert len(edge.finished) == 3
    assert client.transport.closing


async def test_a_head_request_is_answered_without_a_body() -> None:
    client = Edge().connect()
    got = client.send(get("/v1/a").replace(b"GET", b"HEAD", 1) + get("/v1/b"))
    first, _, rest = got.partition(b"\r\n\r\n")
    assert first.startswith(b"HTTP/1.1 200 OK")
    assert rest.startswith(b"HTTP/1.1 200 OK")
    assert rest.endswith(b"/v1/b")


# -- bodies that are relayed


async def test_a_body_too_large_to_hold_is_relayed_while_it_comes() -> None:
    got: list[bytes] = []

    async def read(called: Exchange) -> Response:
        assert not isinstance(called.request.body, bytes)
        while (piece := await called.request.body.read()) is not None:
            got.append(piece)
        return answer(b"done")

    client = Edge(read, limits={"max_request_bytes": 1024}).connect()
    whole = post(b"x" * 5000)
    client.send(whole[:-4000])
    await turns()
    assert b"".join(got)
    client.send(whole[-4000:])
    await turns()
    assert b"".join(got) == b"x" * 5000
    assert client.transport.take().endswith(b"done")


async def test_a_body_of_unknown_length_is_relayed_from_the_limit_on() -> None:
    seen: list[type] = []

    async def read(called: Exchange) -> Response:
        seen.append(type(called.request.body))
        return answer(b"%d" % len(await read_all(called.request.body)))

    client = Edge(read, limits={"max_request_bytes": 1024}).connect()
    chunk = b"3e8\r\n" + b"x" * 1000 + b"\r\n"
    head = b"POST /v1/files HTTP/1.1\r\nhost: api.openai.com\r\ntransfer-encoding: chunked\r\n\r\n"
    client.send(head + chunk)
    assert not seen
    client.send(chunk)
    await turns()
    assert len(seen) == 1
    client.send(chunk + b"0\r\n\r\n")
    await turns()
    assert client.transport.take().endswith(b"\r\n\r\n3000")


async def test_a_client_that_sends_faster_than_the_origin_takes_is_paused() -> None:
    reading = asyncio.Event()

    async def slow(called: Exchange) -> Response:
        await reading.wait()
        return answer(b"%d" % len(await read_all(called.request.body)))

    client = Edge(slow, limits={"max_request_bytes": 1024}).connect()
    size = 3_000_000
    client.send(post(b"x" * size)[: -size + 2_000_000])
    assert not client.is_reading()
    reading.set()
    await turns()
    assert client.is_reading()
    client.send(b"x" * 1_000_000)
    await turns()
    assert client.transport.take().endswith(b"3000000")


async def test_an_answer_before_the_body_ended_reaches_a_client_that_is_still_sending() -> None:
    client = Edge(hello, limits={"max_request_bytes": 1024}).connect()
    got = client.send(post(b"x" * 2_000_000)[:1_500_000])
    assert b"200 OK" in got
    assert b"connection: close" in got
    # Closing on bytes that nobody read would reset the connection, and the answer with it.
    assert client.transport.eof_sent
    assert client.is_reading()
    assert not client.transport.closing
    assert client.send(b"x" * 500_000) == b""
    client.connection.eof_received()
    assert client.transport.closing


async def test_a_client_that_breaks_off_its_body_fails_the_exchange() -> None:
    async def read(called: Exchange) -> Response:
        await read_all(called.request.body)
        raise AssertionError

    edge = Edge(read, limits={"max_request_bytes": 1024})
    client = edge.connect()
    client.send(post(b"x" * 5000)[:-1000])
    client.connection.connection_lost(ConnectionResetError())
    await turns()
    (finished,) = edge.finished
    assert finished.error in ("client_disconnected", "http_request_error")
    assert len(edge.bridge.tasks) == 0


# -- streams and pressure


async def test_pieces_are_sent_as_they_come() -> None:
    streaming = Streaming()
    edge = Edge(streaming)
    client = edge.connect()
    assert client.send(get()).endswith(b"transfer-encoding: chunked\r\n\r\n")
    for piece in (b"data: 1\n\n", b"data: 2\n\n"):
        streaming.body.feed(piece)
        await turns()
        assert client.transport.take() == b"9\r\n" + piece + b"\r\n"
    streaming.body.end()
    await turns()
    assert client.transport.take() == b"0\r\n\r\n"
    assert edge.finished[0].response_bytes == 18
    assert streaming.body.closed == 1


async def test_a_client_that_reads_slowly_slows_the_origin() -> None:
    streaming = Streaming()
    client = Edge(streaming).connect()
    client.send(get())
    client.connection.pause_writing()
    streaming.body.feed(b"1", b"2", b"3")
    await turns()
    assert client.transport.take() == b"1\r\n1\r\n"
    client.connection.resume_writing()
    await turns()
    assert client.transport.take() == b"1\r\n2\r\n1\r\n3\r\n"
    streaming.body.end()
    await turns()


async def test_an_origin_that_breaks_off_is_seen_as_broken_off() -> None:
    streaming = Streaming()
    edge = Edge(streaming)
    client = edge.connect()
    client.send(get())
    streaming.body.feed(b"1")
    streaming.body.fail()
    await turns()
    assert client.transport.take() == b"1\r\n1\r\n"  # without the last chunk
    assert client.transport.closing
    assert edge.finished[0].error == "http_response_incomplete"
    assert edge.finished[0].response_bytes == 1


async def test_a_client_that_leaves_cancels_its_exchange() -> None:
    streaming = Streaming()
    edge = Edge(streaming)
    client = edge.connect()
    client.send(get())
    client.connection.connection_lost(None)
    await turns()
    assert streaming.body.closed == 1
    assert edge.finished[0].error == "client_disconnected"
    assert not edge.bridge.connections
    assert client.handover.finished == 1


async def test_an_exchange_may_run_to_its_end_without_its_client() -> None:
    streaming = Streaming()
    edge = Edge(streaming, on_disconnect="drain")
    client = edge.connect()
    client.send(get())
    streaming.body.feed(b"1")
    await turns()
    client.connection.connection_lost(None)
    streaming.body.feed(b"2")
    streaming.body.end()
    await turns()
    assert streaming.body.closed == 1
    assert edge.finished[0].error == "client_disconnected"


@pytest.mark.parametrize("streamed", [True, False])
async def test_an_answer_for_a_client_that_has_left_goes_nowhere(streamed: bool) -> None:
    body = Fed()
    begun = asyncio.Event()

    async def late(called: Exchange) -> Response:
        await begun.wait()
        return answer(body if streamed else b"x")

    edge = Edge(late, on_disconnect="drain")
    client = edge.connect()
    client.send(get())
    client.connection.connection_lost(None)
    begun.set()
    body.feed(b"1")
    body.end()
    await turns()
    assert client.transport.take() == b""
    assert edge.finished[0].error == "client_disconnected"
    assert body.closed == (1 if streamed else 0)


# -- protocol errors


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"GET /x\r\n\r\n", b"400"),
        (b"GET /x HTTP/1.1\r\n\r\n", b"400"),
        (b"GET /x HTTP/3.0\r\nhost: x\r\n\r\n", b"505"),
        (get("/x", b"x: " + b"y" * 70_000), b"431"),
        (post(b"", b"transfer-encoding: chunked"), b"400"),
    ],
)
async def test_a_client_that_breaks_the_protocol_is_told_and_let_go(sent: bytes, status: bytes) -> None:
    edge = Edge()
    client = edge.connect()
    got = client.send(sent)
    assert got.startswith(b"HTTP/1.1 " + status)
    assert b"connection: close" in got
    assert edge.count(BAD, status.decode()) == 1
    assert client.transport.eof_sent
    assert client.send(get()) == b""
    client.connection.eof_received()
    await turns()
    assert client.handover.finished == 1


async def test_an_error_in_the_next_request_does_not_disturb_the_answer_before() -> None:
    streaming = Streaming()
    client = Edge(streaming).connect()
    client.send(get())
    client.send(b"broken\r\n\r\n")
    streaming.body.feed(b"1")
    streaming.body.end()
    await turns()
    got = client.transport.take()
    assert got.startswith(b"1\r\n1\r\n0\r\n\r\nHTTP/1.1 400 ")


async def test_bad_framing_of_a_body_under_way_ends_its_exchange() -> None:
    gate = Gate()
    edge = Edge(gate, limits={"max_request_bytes": 1024})
    client = edge.connect()
    head = b"POST /v1/files HTTP/1.1\r\nhost: api.openai.com\r\ntransfer-encoding: chunked\r\n\r\n"
    client.send(head + b"7d0\r\n" + b"x" * 2000 + b"\r\n")
    assert len(gate.asked) == 1
    got = client.send(b"nonsense\r\n")
    await turns()
    assert got.startswith(b"HTTP/1.1 400 ")
    assert edge.finished[0].error == "client_disconnected"


async def test_the_wrong_host_is_misdirected() -> None:
    edge = Edge()
    got = edge.connect().send(get(host=b"api.anthropic.com"))
    assert got.startswith(b"HTTP/1.1 421 ")
    assert b"misdirected_request" in got
    assert not edge.finished
    assert edge.count(BAD, "421") == 1


async def test_without_a_destination_the_target_must_be_absolute() -> None:
    edge = Edge()
    client = edge.connect(destination=None)
    assert client.send(get("/v1/x")).startswith(b"HTTP/1.1 400 ")
    client = edge.connect(destination=None)
    assert client.send(get("http://api.openai.com/v1/x", host=b"x")).endswith(b"/v1/x")
    assert edge.finished[0].request.scheme == "http"


# -- ends


async def test_keep_alive_and_close_are_the_clients_choice() -> None:
    client = Edge().connect()
    client.send(get())
    assert not client.transport.closing
    client.send(get("/", b"connection: close"))
    assert client.transport.closing


async def test_a_half_closed_client_still_gets_its_answers() -> None:
    gate = Gate()
    client = Edge(gate).connect()
    client.send(get("/v1/1") + get("/v1/2"))
    assert client.connection.eof_received()
    gate.open.set()
    await turns()
    got = client.transport.take()
    assert b"/v1/1" in got
    assert b"/v1/2" in got
    assert client.transport.closing


async def test_a_client_that_closes_between_requests_is_let_go() -> None:
    client = Edge().connect()
    client.send(get())
    client.connection.eof_received()
    assert client.transport.closing


async def test_a_head_that_was_cut_off_is_answered_400() -> None:
    client = Edge().connect()
    client.send(b"GET /x HT")
    client.connection.eof_received()
    assert client.transport.take().startswith(b"HTTP/1.1 400 ")
    assert client.transport.closing


async def test_an_end_before_the_takeover_is_seen() -> None:
    edge = Edge()
    client = edge.connect()
    client.handover.at_eof = True
    client.connection.start(b"")
    assert client.transport.closing


def deadline(client: Client) -> float:
    return client.connection._patience._deadline - client.connection._patience._clock()


async def test_deadlines_follow_what_is_expected_of_the_client() -> None:
    gate = Gate()
    edge = Edge(gate, limits={"client_head_s": 30, "client_idle_s": 600})
    client = edge.connect()
    assert deadline(client) == pytest.approx(30, abs=1)
    client.send(post(b"x" * 100)[:-50])
    assert deadline(client) == pytest.approx(30, abs=1)
    client.send(b"x" * 50)
    assert deadline(client) == float("inf")  # it is the origin's turn
    gate.open.set()
    await turns()
    assert deadline(client) == pytest.approx(600, abs=1)


async def test_every_piece_of_a_slow_upload_gives_it_more_time() -> None:
    client = Edge(limits={"client_head_s": 30}).connect()
    client.send(post(b"x" * 100)[:-50])
    client.connection._patience.expect_within(1)
    client.send(b"x")
    assert deadline(client) == pytest.approx(30, abs=1)


async def test_a_deadline_closes_the_connection() -> None:
    client = Edge().connect()
    client.connection._patience.expect_within(-1)
    client.connection._patience.look()
    assert client.transport.closing


async def test_a_client_that_lingers_too_long_is_closed() -> None:
    client = Edge().connect()
    client.send(b"broken\r\n\r\n")
    assert not client.transport.closing
    client.connection._patience.expect_within(-1)
    client.connection._patience.look()
    assert client.transport.closing


# -- what goes wrong inside


async def test_an_exception_of_the_chain_is_answered_in_the_providers_words() -> None:
    async def broken(called: Exchange) -> Response:
        raise RuntimeError("sk-secret")

    edge = Edge(broken)
    got = edge.connect().send(get())
    assert got.startswith(b"HTTP/1.1 500 ")
    assert b"proxy-status: skinflint; error=internal_error" in got
    assert b"secret" not in got
    assert edge.finished[0].error == "internal_error"
    provider: Provider | None = edge.finished[0].provider
    assert provider is not None
    assert got.endswith(provider.error(500, "internal_error", "Skinflint failed to handle this call").body)


@pytest.mark.parametrize("streamed", [True, False])
async def test_a_field_that_cannot_be_sent_is_our_failure(streamed: bool) -> None:
    body = Fed()

    async def broken(called: Exchange) -> Response:
        return answer(body if streamed else b"x", headers=[(b"x", b"a\r\nb: c")])

    edge = Edge(broken)
    got = edge.connect().send(get())
    assert got.startswith(b"HTTP/1.1 500 ")
    assert b"b: c" not in got
    assert body.closed == (1 if streamed else 0)
    assert edge.finished[0].error == "internal_error"


async def test_an_exception_in_a_connection_closes_it() -> None:
    client = Edge().connect()
    client.connection.codec = cast(Http1Server, object())
    client.send(get())
    assert client.transport.closing


# -- TLS


@pytest.fixture
def ca(tmp_path: Path) -> TestCa:
    return TestCa(tmp_path)


class Relayed(ServerTls):
    """Stands where test_tls's client expects the server's TLS, and is the connection."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def receive(self, data: bytes) -> bytes:
        self._client.connection.data_received(data)
        return b""

    def pending(self) -> bytes:
        return self._client.transport.take()


PIN = PinKey("10.0.0.1", "api.openai.com", "stack")


def over_tls(edge: Edge, ca: TestCa, *, alpn: tuple[str, ...] = (), trusting: bool = True) -> tuple[Client, TlsClient]:
    client = edge.connect(OPENAI, ca.context("api.openai.com", alpn=("http/1.1", "h2")), PIN)
    trust = ssl.create_default_context(cafile=ca.root if trusting else None)
    if alpn:
        trust.set_alpn_protocols(list(alpn))
    return client, TlsClient(trust, Relayed(client))


async def test_a_call_over_tls(ca: TestCa) -> None:
    edge = Edge()
    client, tls = over_tls(edge, ca)
    tls.handshake()
    tls.tls.write(get("/v1/tls"))
    tls.pump()
    assert tls.tls.read(65_536).endswith(b"/v1/tls")
    client.connection.eof_received()
    await turns()
    assert client.transport.closing
    assert edge.count(CONNECTIONS, "rejected") == 0


async def test_a_client_that_only_speaks_http2_is_spoken_to_so(ca: TestCa) -> None:
    client, tls = over_tls(Edge(), ca, alpn=("h2",))
    tls.handshake()
    assert client.connection.codec is not None
    assert client.connection.codec.http_version == "2"


async def test_a_client_that_rejects_our_certificate_is_tunnelled_from_then_on(ca: TestCa) -> None:
    edge = Edge()
    client, tls = over_tls(edge, ca, trusting=False)
    with pytest.raises(ssl.SSLCertVerificationError):
        tls.handshake()
    tls.pump()
    await turns()
    assert client.transport.closing
    assert edge.bridge.pins.is_pinned(PIN)
    assert edge.count(CONNECTIONS, "rejected") == 1


async def test_silent_closes_after_our_certificate_are_rejections_after_a_while(ca: TestCa) -> None:
    edge = Edge()
    for _ in range(3):
        assert not edge.bridge.pins.is_pinned(PIN)
        client, tls = over_tls(edge, ca)
        tls.handshake()
        client.connection.eof_received()
        await turns()
    assert edge.bridge.pins.is_pinned(PIN)


async def test_connections_that_we_close_prove_nothing(ca: TestCa) -> None:
    edge = Edge()
    for _ in range(5):
        client, tls = over_tls(edge, ca)
        tls.handshake()
        client.connection.close()
        await turns()
        assert client.handover.finished == 1
    assert not edge.bridge.pins.is_pinned(PIN)


async def test_garbage_instead_of_tls_is_counted_and_closed(ca: TestCa) -> None:
    edge = Edge()
    client, _ = over_tls(edge, ca)
    client.send(b"GET / HTTP/1.1\r\n\r\n")
    await turns()
    assert client.transport.closing
    assert edge.count(CONNECTIONS, "tls_failed") == 1
    assert not edge.bridge.pins.is_pinned(PIN)


async def test_nothing_is_sent_after_a_close_over_tls(ca: TestCa) -> None:
    streaming = Streaming()
    client, tls = over_tls(Edge(streaming), ca)
    tls.handshake()
    tls.tls.write(get())
    tls.pump()
    client.connection.close()
    streaming.body.feed(b"late")
    await turns()  # the transport would refuse it
    assert client.handover.finished == 1
