"""Ways to an origin other than straight there: a corporate proxy, addresses fixed by hand, raw connections."""

import asyncio
import socket
import ssl
from pathlib import Path

import pytest

from config.schema import Upstream
from proxy.demo.certificates import Certificates
from proxy.demo.simulator import Simulator
from proxy.exchange.errors import UpstreamError
from proxy.upstream.dial import Dialer
from proxy.upstream.resolver import Resolver
from tests.support.connect_proxy import connect_proxy
from tests.support.exchanges import request, turns
from tests.support.x509 import TestCa
from tests.upstream.conftest import MakePool

HOST = "api.openai.com"


@pytest.fixture
def ca(tmp_path: Path) -> TestCa:
    return TestCa(tmp_path)


def context(ca: TestCa) -> ssl.SSLContext:
    made = ssl.create_default_context(cafile=ca.root)
    made.set_alpn_protocols(["h2", "http/1.1"])
    return made


def dialer(**more: object) -> Dialer:
    settings = Upstream.model_validate(more)
    return Dialer(settings, Resolver(settings.resolve, ignore_hosts_file=False))


# -- the pool through a corporate proxy


async def test_calls_go_through_the_corporate_proxy(ca: TestCa, make_pool: MakePool) -> None:
    with connect_proxy(ca.context(HOST)) as proxy:
        pool = make_pool(proxy=proxy.url, extra_ca=(ca.root,))
        response = await pool.send(request(b"", method="GET", target="/v1/models"), buffered=True)
        await pool.close()
    assert response.body == b"ok"
    assert proxy.heads[0].startswith(f"CONNECT {HOST}:443 HTTP/1.1\r\n")
    assert "authorization" not in proxy.heads[0].lower()
    assert proxy.requests == ["GET /v1/models HTTP/1.1"]


async def test_the_proxy_is_told_who_we_are_and_the_origin_is_not(ca: TestCa, make_pool: MakePool) -> None:
    with connect_proxy(ca.context(HOST)) as proxy:
        url = proxy.url.replace("://", "://user:p%40ss@")
        pool = make_pool(proxy=url, extra_ca=(ca.root,))
        await pool.send(request(b"", method="GET", target="/v1/models"), buffered=True)
        await pool.close()
    assert "proxy-authorization: basic dxnlcjpwqhnz" in proxy.heads[0].lower()


async def test_a_proxy_that_refuses_is_the_proxys_error(ca: TestCa, make_pool: MakePool) -> None:
    with connect_proxy(ca.context(HOST), status=b"407 Proxy Authentication Required") as proxy:
        pool = make_pool(proxy=proxy.url, extra_ca=(ca.root,))
        with pytest.raises(UpstreamError) as raised:
            await pool.send(request(b"", method="GET"), buffered=True)
        await pool.close()
    assert (raised.value.code, raised.value.sent) == ("proxy_error", False)


async def test_exempt_hosts_are_reached_without_the_proxy(
    provider_certificates: Certificates, make_pool: MakePool
) -> None:
    async with Simulator(provider_certificates) as simulator:
        pool = make_pool(simulator, proxy="http://127.0.0.1:1", no_proxy="example.com, .openai.com")
        assert (await pool.send(request(), buffered=True)).status == 200


# -- raw connections


async def test_a_raw_connection_goes_through_the_proxy_too(ca: TestCa) -> None:
    with connect_proxy(ca.context(HOST)) as proxy:
        url = proxy.url.replace("://", "://user:p%40ss@")
        reader, writer = await dialer(proxy=url).open(HOST, 443, context(ca))
        writer.write(b"GET /raw HTTP/1.1\r\nhost: x\r\n\r\n")
        head = await reader.readuntil(b"\r\n\r\n")
        writer.transport.abort()
        await turns()
    assert head.startswith(b"HTTP/1.1 200 OK")
    assert (
        f"CONNECT {HOST}:443 HTTP/1.1\r\nHost: {HOST}:443\r\nProxy-Authorization: Basic dXNlcjpwQHNz" in proxy.heads[0]
    )


async def test_an_ipv6_origin_stands_in_brackets(ca: TestCa) -> None:
    with connect_proxy(ca.context("::1")) as proxy:
        _, writer = await dialer(proxy=proxy.url).open("::1", 443, context(ca))
        writer.transport.abort()
        await turns()
    assert proxy.heads[0].startswith("CONNECT [::1]:443 HTTP/1.1")


@pytest.mark.parametrize("status", [b"407 Proxy Authentication Required", b"502 Bad Gateway", b"20 Odd"])
async def test_a_refused_tunnel_is_the_proxys_error(ca: TestCa, status: bytes) -> None:
    with connect_proxy(ca.context(HOST), status=status) as proxy, pytest.raises(UpstreamError) as raised:
        await dialer(proxy=proxy.url).open(HOST, 443)
    assert (raised.value.code, raised.value.sent) == ("proxy_error", False)


@pytest.mark.parametrize("said", [b"", b"HTTP/1.1 200", b"x" * 100_000])
async def test_a_proxy_that_breaks_off_or_babbles_is_the_proxys_error(said: bytes) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(said)
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(UpstreamError) as raised:
            await dialer(proxy=f"http://127.0.0.1:{port}").open(HOST, 443)
    assert raised.value.code == "proxy_error"


@pytest.mark.parametrize(
    ("no_proxy", "host", "exempt"),
    [
        (None, HOST, False),
        ("", HOST, False),
        ("*", HOST, True),
        (HOST, HOST, True),
        ("openai.com", HOST, True),
        (".openai.com", HOST, True),
        ("OPENAI.com , x", HOST, True),
        ("penai.com", HOST, False),
        ("api.openai.com.evil", HOST, False),
    ],
)
async def test_who_is_exempt_from_the_proxy(no_proxy: str | None, host: str, exempt: bool) -> None:
    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    async with await asyncio.start_server(hang_up, "127.0.0.1", 0) as server:
        address = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
        made = dialer(proxy="http://127.0.0.1:1", no_proxy=no_proxy, resolve={host: address})
        if exempt:
            _, writer = await made.open(host, 443)
            writer.transport.abort()
        else:
            with pytest.raises(UpstreamError) as raised:
                await made.open(host, 443)
            assert raised.value.code == "proxy_error"


async def test_failures_of_a_raw_connection_have_words(ca: TestCa, provider_certificates: Certificates) -> None:
    async with Simulator(provider_certificates) as simulator:
        made = dialer(resolve={HOST: simulator.address})
        with pytest.raises(UpstreamError) as raised:
            await made.open(HOST, 443, context(ca))
        assert raised.value.code == "tls_certificate_error"
    with pytest.raises(UpstreamError) as raised:
        await dialer(resolve={HOST: "127.0.0.1:1"}).open(HOST, 443)
    assert raised.value.code == "connection_refused"
    assert not raised.value.sent


async def test_a_raw_connection_has_a_deadline(ca: TestCa) -> None:
    held: list[asyncio.StreamWriter] = []

    async def hold(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        held.append(writer)

    async with await asyncio.start_server(hold, "127.0.0.1", 0) as server:
        address = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
        with pytest.raises(UpstreamError) as raised:
            await dialer(connect_timeout_s=0.1, resolve={HOST: address}).open(HOST, 443, context(ca))
        for writer in held:
            writer.close()
    assert (raised.value.code, raised.value.status) == ("connection_timeout", 504)


async def test_a_name_with_several_addresses_is_tried_at_each(monkeypatch: pytest.MonkeyPatch) -> None:
    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    async def several(name: str, port: int, **more: object) -> list[tuple[object, ...]]:
        assert name == "several.example"
        addresses = ("127.0.0.2", "127.0.0.3", "127.0.0.1")
        return [(socket.AF_INET, socket.SOCK_STREAM, 0, "", (address, port)) for address in addresses]

    async with await asyncio.start_server(hang_up, "127.0.0.1", 0) as server:
        monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", several)
        _, writer = await dialer().open("several.example", server.sockets[0].getsockname()[1])
        assert writer.get_extra_info("peername")[0] == "127.0.0.1"
        writer.transport.abort()


async def test_a_refusal_at_each_address_is_a_refusal() -> None:
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]
    with pytest.raises(UpstreamError) as raised:
        await dialer().open("localhost", port)
    assert (raised.value.code, raised.value.sent) == ("connection_refused", False)
