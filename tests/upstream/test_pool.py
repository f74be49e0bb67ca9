"""Calls through the pool to a real server: what arrives there, what comes back, and how it can fail."""

import asyncio
import gc
import socket
import ssl
import weakref
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

import pytest

from addons.retry import Retry
from proxy.demo.asks import Answer, Call
from proxy.demo.certificates import Certificates
from proxy.demo.faults import Faults, Options
from proxy.demo.simulator import Simulator
from proxy.exchange.errors import UpstreamError
from proxy.exchange.headers import first
from proxy.exchange.model import Body, Exchange, Request, Response
from proxy.exchange.provider import Operation
from proxy.upstream.pool import Pool
from tests.support.exchanges import CHAT, CHAT_STREAM, Pieces, exchange, read_all, request, settings
from tests.upstream.conftest import MakePool

DEADLINE_S = 10.0


async def until(is_so: Callable[[], bool]) -> None:
    """Let the loop run until it is so."""
    async with asyncio.timeout(DEADLINE_S):
        while not is_so():
            await asyncio.sleep(0.005)


@pytest.fixture(params=["h2", "h1"])
async def simulator(request: pytest.FixtureRequest, provider_certificates: Certificates) -> AsyncIterator[Simulator]:
    async with Simulator(provider_certificates, Options(events=8, http2=request.param == "h2")) as running:
        yield running


@pytest.fixture
async def h2(provider_certificates: Certificates) -> AsyncIterator[Simulator]:
    async with Simulator(provider_certificates, Options(events=8)) as running:
        yield running


def scripted(
    *, status: int = 200, headers: list[tuple[bytes, bytes]] | None = None, body: bytes = b"{}"
) -> Callable[[Call], Answer]:
    return lambda call: Answer([body], status, headers or [])


async def failure_of(pool: Pool, asked: Request, *, buffered: bool = True) -> UpstreamError:
    async def whole() -> None:
        await read_all((await pool.send(asked, buffered=buffered)).body)

    with pytest.raises(UpstreamError) as raised:
        await whole()
    return raised.value


def in_flight(pool: Pool) -> int:
    return sum(use.in_flight for use in pool.use())


# -- what goes and what comes


@pytest.mark.parametrize("buffered", [True, False])
async def test_a_call_is_answered(simulator: Simulator, make_pool: MakePool, buffered: bool) -> None:
    pool = make_pool(simulator)
    response = await pool.send(request(), buffered=buffered)
    body = await read_all(response.body)
    assert response.status == 200
    assert isinstance(response.body, bytes) is buffered
    assert body.startswith(b'{"id":"chatcmpl-')
    assert response.content_length == len(body)
    assert first(response.headers, b"content-length") is None
    if not isinstance(response.body, bytes):
        await response.body.aclose()
    assert in_flight(pool) == 0
    assert pool.use()[0].protocol == ("HTTP/2" if simulator.options.http2 else "HTTP/1.1")


async def test_the_origin_gets_what_the_client_sent_and_nothing_else(simulator: Simulator, make_pool: MakePool) -> None:
    fields = [(b"x-a", b"1"), (b"x-a", b"2"), (b"x-empty", b""), (b"anthropic-beta", b"a,b"), (b"x-utf8", "é".encode())]
    asked = request(headers=[*fields, (b"connection", b"x"), (b"te", b"trailers"), (b"content-length", b"9")])
    await make_pool(simulator).send(asked, buffered=True)
    call = simulator.calls[-1]
    assert call.body == CHAT
    assert call.host == "api.openai.com"
    # pyreqwest, for HTTP/1.1, fills in these two where the client sends none; every SDK sends both.
    added = () if simulator.options.http2 else (b"accept", b"user-agent")
    seen = [pair for pair in call.headers if pair[0] not in (b"host", b"content-length", *added)]
    assert sorted(seen) == sorted(
        [(b"content-type", b"application/json"), (b"authorization", b"Bearer sk-one"), *fields]
    )


async def test_the_answers_fields_come_as_they_were_sent(simulator: Simulator, make_pool: MakePool) -> None:
    fields = [(b"x-b", b"2"), (b"x-a", b"1"), (b"set-cookie", b"a=1"), (b"set-cookie", b"b=2")]
    simulator.script(scripted(headers=[*fields, (b"x-obs", b"caf\xe9")]))
    response = await make_pool(simulator).send(request(), buffered=True)
    got = [pair for pair in response.headers if pair[0] != b"date"]
    if simulator.options.http2:
        got.remove((b"x-obs", b"caf\xe9"))  # pyreqwest, for HTTP/1.1, cannot give us that one
    assert sorted(got) == sorted(fields)
    assert [value for name, value in got if name == b"set-cookie"] == [b"a=1", b"b=2"]


@pytest.mark.parametrize("status", [204, 304, 400, 404, 429, 500, 503, 599])
async def test_any_status_is_an_answer(simulator: Simulator, make_pool: MakePool, status: int) -> None:
    simulator.script(scripted(status=status, body=b"" if status in (204, 304) else b"{}"))
    response = await make_pool(simulator).send(request(), buffered=False)
    assert response.status == status
    await read_all(response.body)


@pytest.mark.parametrize("method", ["GET", "HEAD", "DELETE", "POST", "PUT", "PATCH", "OPTIONS"])
async def test_every_method_goes_through(simulator: Simulator, make_pool: MakePool, method: str) -> None:
    simulator.script(scripted(body=b"" if method == "HEAD" else b"{}"))
    await make_pool(simulator).send(request(b"", method=method), buffered=True)
    assert simulator.calls[-1].method == method


@pytest.mark.parametrize(
    "target",
    ["/v1/models/a%2Fb?x=1&y=%20", "/v1/models/a:b@c", "/model/arn%3Aaws%3A1/converse", "/?a", "/a?", "//a", "/a;b"],
)
async def test_the_target_goes_as_it_is(simulator: Simulator, make_pool: MakePool, target: str) -> None:
    simulator.script(scripted())
    await make_pool(simulator).send(request(b"", method="GET", target=target), buffered=True)
    assert simulator.calls[-1].target == target


@pytest.mark.parametrize("path", ["/v1/redirect"])
async def test_a_redirect_is_the_clients_business(simulator: Simulator, make_pool: MakePool, path: str) -> None:
    simulator.script(scripted(status=307, headers=[(b"location", b"https://api.anthropic.com/")]))
    response = await make_pool(simulator).send(request(target=path), buffered=True)
    assert response.status == 307
    assert len(simulator.calls) == 1


async def test_a_coded_body_is_not_decoded(simulator: Simulator, make_pool: MakePool) -> None:
    simulator.script(scripted(headers=[(b"content-encoding", b"gzip")], body=b"not gzip at all"))
    response = await make_pool(simulator).send(request(), buffered=True)
    assert response.body == b"not gzip at all"


async def test_pieces_come_as_the_origin_sends_them(simulator: Simulator, make_pool: MakePool) -> None:
    simulator.faults.append(Faults(stall_after=2))
    response = await make_pool(simulator).send(request(CHAT_STREAM), buffered=False)
    assert not isinstance(response.body, bytes)
    assert response.content_length is None
    got = await response.body.read() or b""
    while got.count(b"\n\n") < 2:  # the origin is silent now: all that it has sent must have come
        got += await response.body.read() or b""
    await response.body.aclose()
    assert got.count(b"\n\n") == 2


async def test_a_request_body_is_streamed(simulator: Simulator, make_pool: MakePool) -> None:
    simulator.script(scripted())
    pieces = [b"x" * 100_000 for _ in range(20)]
    await make_pool(simulator).send(request(Pieces(*pieces)), buffered=True)
    assert simulator.calls[-1].body == b"".join(pieces)


async def test_a_client_that_breaks_off_its_body_fails_the_call(simulator: Simulator, make_pool: MakePool) -> None:
    pool = make_pool(simulator)
    broken = UpstreamError("http_request_error", "the client broke off its request", status=400)
    await failure_of(pool, request(Pieces(b"x", broken)))
    assert in_flight(pool) == 0


# -- giving up


async def test_closing_a_body_gives_the_stream_up_at_the_origin(simulator: Simulator, make_pool: MakePool) -> None:
    simulator.faults.append(Faults(stall_after=1))
    pool = make_pool(simulator)
    response = await pool.send(request(CHAT_STREAM), buffered=False)
    assert not isinstance(response.body, bytes)
    await response.body.read()
    assert in_flight(pool) == 1
    await response.body.aclose()
    await response.body.aclose()
    assert in_flight(pool) == 0
    await until(lambda: simulator.traffic.abandoned == 1)
    with pytest.raises(UpstreamError):
        await response.body.read()


async def test_the_clients_own_words_replace_what_would_be_filled_in(simulator: Simulator, make_pool: MakePool) -> None:
    await make_pool(simulator).send(request(headers=[(b"accept", b"a/b"), (b"user-agent", b"sdk/1")]), buffered=True)
    headers = simulator.calls[-1].headers
    assert [value for name, value in headers if name in (b"accept", b"user-agent")] == [b"a/b", b"sdk/1"]


@pytest.mark.parametrize("buffered", [True, False])
async def test_cancelling_a_call_that_waits_gives_its_place_free(
    simulator: Simulator, make_pool: MakePool, buffered: bool
) -> None:
    simulator.faults.append(Faults(latency_s=60.0))
    pool = make_pool(simulator)
    asking = asyncio.ensure_future(pool.send(request(), buffered=buffered))
    await until(lambda: len(simulator.calls) == 1)
    assert in_flight(pool) == 1
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    assert in_flight(pool) == 0


async def test_closing_the_pool_ends_what_is_under_way(simulator: Simulator, make_pool: MakePool) -> None:
    simulator.faults.append(Faults(stall_after=1))
    pool = make_pool(simulator)
    response = await pool.send(request(CHAT_STREAM), buffered=False)
    assert not isinstance(response.body, bytes)
    await response.body.read()
    await pool.close()
    with pytest.raises(UpstreamError):
        await response.body.read()
    assert (await failure_of(pool, request())).status == 503


async def test_a_closed_pool_keeps_no_certificates(make_pool: MakePool) -> None:
    """They are a megabyte; what still knows the pool may wait long for a collection."""
    pool = make_pool()
    context = weakref.ref(pool.tls_context("h2"))
    assert context() is not None
    await pool.close()
    assert context() is None


@pytest.mark.parametrize("buffered", [True, False])
async def test_a_call_that_fails_keeps_nothing_until_a_collection(
    simulator: Simulator, make_pool: MakePool, buffered: bool
) -> None:
    """Not the certificates that its connection was made with, more than a megabyte."""
    pool = make_pool(simulator)
    context = weakref.ref(pool.tls_context("h2", "http/1.1"))
    simulator.faults.append(Faults(failure="reset"))
    gc.disable()
    try:
        with suppress(UpstreamError):
            await pool.send(request(), buffered=buffered)
        assert len(simulator.calls) == 1
        await pool.close()
        await until(lambda: context() is None)
    finally:
        gc.enable()


# -- deadlines


async def test_the_first_byte_has_a_deadline(simulator: Simulator, make_pool: MakePool) -> None:
    simulator.faults.append(Faults(latency_s=60.0))
    pool = make_pool(simulator, first_byte_timeout_s=0.1)
    for buffered in (True, False):
        failure = await failure_of(pool, request(), buffered=buffered)
        assert (failure.code, failure.status, failure.sent) == ("http_response_timeout", 504, True)
    assert in_flight(pool) == 0


async def test_silence_in_a_body_has_a_deadline(simulator: Simulator, make_pool: MakePool) -> None:
    simulator.faults.append(Faults(stall_after=1))
    failure = await failure_of(make_pool(simulator, idle_timeout_s=0.1), request(CHAT_STREAM), buffered=False)
    assert (failure.code, failure.status) == ("connection_read_timeout", 504)


async def test_the_whole_answer_has_a_deadline(simulator: Simulator, make_pool: MakePool) -> None:
    simulator.faults.append(Faults(stall_after=1))
    failure = await failure_of(make_pool(simulator, total_timeout_s=0.2), request(CHAT_STREAM), buffered=False)
    assert failure.status in (502, 504)
    assert failure.code in ("http_response_timeout", "http_response_incomplete")


@pytest.mark.parametrize("fault", [Faults(latency_s=60.0), Faults(stall_after=0)])
@pytest.mark.parametrize("buffered", [True, False])
async def test_a_call_that_was_given_up_does_not_stay_at_the_origin(
    simulator: Simulator, make_pool: MakePool, fault: Faults, buffered: bool
) -> None:
    simulator.faults.append(fault)
    pool = make_pool(simulator, first_byte_timeout_s=0.1, idle_timeout_s=0.1)
    failure = await failure_of(pool, request(CHAT_STREAM), buffered=buffered)
    assert failure.status == 504
    await until(lambda: simulator.traffic.active_streams == 0)


@asynccontextmanager
async def silent() -> AsyncIterator[int]:
    """A listener that accepts and never says a word."""
    held: list[asyncio.StreamWriter] = []

    async def hold(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        held.append(writer)

    async with await asyncio.start_server(hold, "127.0.0.1", 0) as server:
        try:
            yield server.sockets[0].getsockname()[1]
        finally:
            for writer in held:
                writer.close()


async def test_connecting_has_a_deadline(make_pool: MakePool) -> None:
    async with silent() as port:
        pool = make_pool(connect_timeout_s=0.2, resolve={"api.openai.com": f"127.0.0.1:{port}"})
        failure = await failure_of(pool, request())
    assert (failure.code, failure.status, failure.sent) == ("connection_timeout", 504, False)


# -- other failures


async def test_a_refused_connection_has_sent_nothing(make_pool: MakePool) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        pool = make_pool(resolve={"api.openai.com": f"127.0.0.1:{unused.getsockname()[1]}"})
        failures = await asyncio.gather(*(failure_of(pool, request()) for _ in range(5)))
    for failure in failures:
        assert (failure.code, failure.status, failure.sent) == ("connection_refused", 502, False)
    assert in_flight(pool) == 0


async def test_an_unknown_authority_is_not_trusted(simulator: Simulator, make_pool: MakePool) -> None:
    failure = await failure_of(make_pool(simulator, extra_ca=()), request())
    assert (failure.code, failure.sent) == ("tls_certificate_error", False)
    assert not simulator.calls


async def test_a_certificate_for_another_name_is_not_trusted(simulator: Simulator, make_pool: MakePool) -> None:
    pool = make_pool(resolve={"api.example.net": simulator.address})
    failure = await failure_of(pool, request(host="api.example.net"))
    assert (failure.code, failure.sent) == ("tls_certificate_error", False)


async def test_an_origin_that_speaks_no_tls_is_a_tls_failure(make_pool: MakePool) -> None:
    async with Simulator(None) as plain:
        failure = await failure_of(make_pool(plain), request())
    assert (failure.code, failure.sent) == ("tls_protocol_error", False)


async def test_a_name_that_does_not_exist_cannot_be_resolved(make_pool: MakePool) -> None:
    failure = await failure_of(make_pool(), request(host="no-such-name.invalid"))
    assert (failure.code, failure.sent) == ("dns_error", False)


@pytest.mark.parametrize(
    ("kind", "code"),
    [("close", "connection_terminated"), ("reset", "connection_terminated"), ("garbage", "http_protocol_error")],
)
async def test_an_origin_that_breaks_off_before_its_head(
    simulator: Simulator, make_pool: MakePool, kind: str, code: str
) -> None:
    simulator.faults.append(Faults(failure=kind))  # type: ignore[arg-type]
    pool = make_pool(simulator)
    failure = await failure_of(pool, request())
    assert (failure.code, failure.status, failure.sent) == (code, 502, True)
    assert in_flight(pool) == 0


async def test_a_refused_stream_was_not_processed(h2: Simulator, make_pool: MakePool) -> None:
    h2.faults.append(Faults(failure="refuse"))
    failure = await failure_of(make_pool(h2), request())
    assert (failure.code, failure.sent) == ("connection_terminated", False)


async def test_an_origin_that_breaks_off_its_body(simulator: Simulator, make_pool: MakePool) -> None:
    simulator.faults.append(Faults(cut_after=2))
    pool = make_pool(simulator)
    failure = await failure_of(pool, request(CHAT_STREAM), buffered=False)
    assert (failure.code, failure.status) == ("http_response_incomplete", 502)


@pytest.mark.parametrize("value", [b"a\nb", b"a\x00b"])
async def test_a_field_that_cannot_be_sent_is_the_clients_fault(
    h2: Simulator, make_pool: MakePool, value: bytes
) -> None:
    pool = make_pool(h2)
    failure = await failure_of(pool, request(headers=[(b"x-bad", value)]))
    assert (failure.code, failure.status, failure.sent) == ("http_request_error", 400, False)
    assert in_flight(pool) == 0


async def test_no_message_names_a_host_or_a_secret(make_pool: MakePool) -> None:
    failure = await failure_of(make_pool(), request(host="no-such-name.invalid", key=b"sk-secret"))
    assert "invalid" not in failure.message
    assert "secret" not in str(failure)


# -- plain HTTP, IPv6


async def test_a_plain_origin_is_spoken_to_plainly(make_pool: MakePool) -> None:
    async with Simulator(None) as plain:
        asked = request()
        asked.scheme, asked.host, asked.port = "http", "127.0.0.1", plain.port
        response = await make_pool().send(asked, buffered=True)
        assert response.status == 200
        assert plain.calls[-1].http_version == "1.1"


async def test_an_origin_may_be_an_ipv6_address(make_pool: MakePool) -> None:
    heads: list[bytes] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
        await writer.drain()
        writer.close()

    try:
        server = await asyncio.start_server(answer, "::1", 0)
    except OSError:
        pytest.skip("no IPv6 here")
    async with server:
        asked = request(b"", method="GET", target="/v1/models")
        asked.scheme, asked.host, asked.port = "http", "::1", server.sockets[0].getsockname()[1]
        assert (await make_pool().send(asked, buffered=True)).body == b"ok"
        assert f"host: [::1]:{asked.port}".encode() in heads[0].lower()


# -- origins that close what was idle


REPEATABLE = Operation("chat", answers=True, repeatable=True)


@pytest.mark.parametrize("options", [{"requests_per_connection": 1}, {"goodbye_after": 2}])
async def test_a_connection_that_the_origin_closed_costs_nobody_an_error(
    provider_certificates: Certificates, make_pool: MakePool, options: dict[str, int]
) -> None:
    for http2 in (True, False):
        async with Simulator(provider_certificates, Options(events=2, http2=http2, **options)) as closing:  # type: ignore[arg-type]
            pool, stage = make_pool(closing), Retry(settings(upstream={"retry_budget": 1.0}))

            async def send(called: Exchange, pool: Pool = pool) -> Response:
                return await pool.send(called.request, buffered=True)

            for _ in range(20):
                response = await stage.handle(exchange(request(), operation=REPEATABLE), send)
                assert response.status == 200


async def test_a_body_that_is_read_after_its_end_stays_at_its_end(h2: Simulator, make_pool: MakePool) -> None:
    response = await make_pool(h2).send(request(CHAT_STREAM), buffered=False)
    body: Body | bytes = response.body
    assert not isinstance(body, bytes)
    await read_all(body)
    assert await body.read() is None
    await body.aclose()


async def test_the_tls_of_probes_and_relays_trusts_what_the_pool_trusts(h2: Simulator, make_pool: MakePool) -> None:
    pool = make_pool(h2)
    context = pool.tls_context("h2")
    assert pool.tls_context("h2") is context
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname
    _, writer = await pool.dialer.open("api.openai.com", 443, context)
    tls = writer.get_extra_info("ssl_object")
    assert tls.selected_alpn_protocol() == "h2"
    writer.transport.abort()
