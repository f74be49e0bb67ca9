"""What is not ours passes byte for byte, with the origin's own certificate: other hosts, pinning clients, gRPC."""

import asyncio
import hashlib
import os
import ssl
from pathlib import Path

import h2.config
import h2.connection
import h2.events
import pytest

from proxy.demo.certificates import Certificates
from tests.conftest import MakeProxy
from tests.support.background import Providers
from tests.support.h2_client import H2Client
from tests.support.origins import echo, origin
from tests.support.raw_client import RawClient, connect, request, secure, tunnel
from tests.support.running import RunningProxy
from tests.support.waiting import until
from tests.support.x509 import TestCa

MIB = 1024 * 1024
HOST = "api.openai.com"


@pytest.fixture
def certified(tmp_path: Path) -> TestCa:
    """An authority for origins of the test's own."""
    return TestCa(tmp_path)


def trusting(root: Path, *alpn: str) -> ssl.SSLContext:
    """A client's context that trusts this authority alone."""
    context = ssl.create_default_context(cafile=str(root))
    if alpn:
        context.set_alpn_protocols(list(alpn))
    return context


def shown(client: RawClient) -> bytes:
    """The fingerprint of the certificate that the client was shown."""
    certificate = client.tls.getpeercert(binary_form=True)
    assert certificate is not None
    return hashlib.sha256(certificate).digest()


async def test_another_host_shows_its_own_certificate(proxy: RunningProxy, certified: TestCa) -> None:
    context = certified.context("localhost", alpn=("h2", "http/1.1"))
    async with origin(echo, context) as port:
        straight = await connect(port)
        await straight.start_tls(trusting(certified.root), "localhost")
        through = await tunnel(proxy.port(), f"localhost:{port}")
        await through.start_tls(trusting(certified.root, "h2"), "localhost")
        async with straight, through:
            assert shown(through) == shown(straight)
            assert through.tls.selected_alpn_protocol() == "h2"
            through.send(b"anything")
            assert await through.read() == b"anything"


async def test_five_megabytes_of_noise_pass_both_ways(proxy: RunningProxy) -> None:
    noise = os.urandom(5 * MIB)
    async with origin(echo) as port, await tunnel(proxy.port(), f"127.0.0.1:{port}") as client:

        async def send() -> None:
            for at in range(0, len(noise), 100_000):
                client.send(noise[at : at + 100_000])
                await client.flush()
            client.send_fin()

        _, received = await asyncio.gather(send(), client.read_all())
    assert received == noise


async def test_an_origin_that_reads_slowly_slows_the_client(proxy: RunningProxy) -> None:
    wanted = asyncio.Event()
    total = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal total
        await wanted.wait()
        while data := await reader.read(MIB):
            total += len(data)
        writer.write(b"done")

    async with origin(serve) as port, await tunnel(proxy.port(), f"127.0.0.1:{port}") as client:
        sending = asyncio.create_task(client.read())
        sent = 0
        try:
            while sent < 64 * MIB:
                client.send(bytes(MIB))
                await asyncio.wait_for(client.flush(), 0.5)
                sent += MIB
        except TimeoutError:
            pass
        assert sent < 64 * MIB  # the kernel's buffers and ours are full
        wanted.set()
        await client.flush()
        client.send_fin()
        assert await sending == b"done"
        assert total >= sent


async def test_the_clients_half_close_reaches_the_origin(proxy: RunningProxy) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = await reader.read()  # until the half-close
        writer.write(b"received " + request)

    async with origin(serve) as port, await tunnel(proxy.port(), f"127.0.0.1:{port}") as client:
        client.send(b"all of it")
        client.send_fin()
        assert await client.read_all() == b"received all of it"


async def test_the_origins_half_close_reaches_the_client(proxy: RunningProxy) -> None:
    received = bytearray()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"the end")
        writer.write_eof()
        received.extend(await reader.read())

    async with origin(serve) as port, await tunnel(proxy.port(), f"127.0.0.1:{port}") as client:
        client.send(b"hello ")
        assert await client.read_all() == b"the end"
        client.send(b"still here")
        client.send_fin()
        await until(lambda: received == b"hello still here", "the origin has everything")


async def test_an_origin_that_speaks_first_is_heard(proxy: RunningProxy) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 welcome\r\n")
        writer.write(await reader.readline())

    async with origin(serve) as port, await tunnel(proxy.port(), f"127.0.0.1:{port}") as client:
        assert await client.read() == b"220 welcome\r\n"
        client.send(b"EHLO\r\n")
        assert await client.read() == b"EHLO\r\n"


async def test_a_first_message_of_one_byte_is_passed_on(proxy: RunningProxy) -> None:
    async with origin(echo) as port, await tunnel(proxy.port(), f"localhost:{port}") as client:
        client.send(b"x")
        assert await client.read() == b"x"


async def test_who_says_nothing_is_closed_in_time(make_proxy: MakeProxy, provider: Providers) -> None:
    proxy = make_proxy(provider, {"limits": {"client_head_s": 0.3}})
    async with await connect(proxy.port()) as silent, await tunnel(proxy.port(), f"{HOST}:443") as waiting:
        waiting.send(b"\x16\x03\x01")
        assert await silent.read_all() == b""
        assert await waiting.read_all() == b""


async def test_plain_http_to_a_passthrough_host_is_tunnelled(make_proxy: MakeProxy) -> None:
    async with origin(echo) as port:
        upstream = {"resolve": {HOST: f"127.0.0.1:{port}"}}
        proxy = make_proxy(None, {"upstream": upstream, "passthrough": {"hosts": [HOST]}})
        async with await tunnel(proxy.port(), f"{HOST}:80") as client:
            client.send(b"GET / HTTP/1.1\r\nodd line\r\n\r\n")
            assert (await client.read()).startswith(b"GET / HTTP/1.1\r\nodd line")


async def test_an_origin_that_cannot_be_reached_fails_the_connect(proxy: RunningProxy) -> None:
    async with await connect(proxy.port()) as client:
        client.send(b"CONNECT 127.0.0.1:1 HTTP/1.1\r\nhost: 127.0.0.1:1\r\n\r\n")
        answer = await client.answer()
        assert (answer.status, answer.header("proxy-status")) == (502, "skinflint; error=connection_failed")
        assert await client.read_all() == b""


async def test_a_reset_by_the_origin_ends_the_tunnel(proxy: RunningProxy) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(10)
        writer.transport.abort()

    async with origin(serve) as port, await tunnel(proxy.port(), f"127.0.0.1:{port}") as client:
        client.send(b"0123456789")
        assert await client.read_all() == b""


async def test_a_client_that_leaves_ends_the_origins_side(proxy: RunningProxy) -> None:
    left = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.read()
        finally:
            left.set()

    async with origin(serve) as port, await tunnel(proxy.port(), f"127.0.0.1:{port}") as client:
        client.send(b"0123456789")
        await client.flush()
        client.abort()
        await asyncio.wait_for(left.wait(), 10)


async def test_plain_http_to_another_host_passes_through_connect(proxy: RunningProxy) -> None:
    async with origin(echo) as port, await tunnel(proxy.port(), f"127.0.0.1:{port}") as client:
        sent = b"GET / HTTP/1.1\r\nHost : odd\r\n folded\r\n\r\n"
        client.send(sent)
        assert await client.read_exactly(len(sent)) == sent


async def test_a_passthrough_host_is_tunnelled_although_it_is_a_provider(
    make_proxy: MakeProxy, provider: Providers, authority: Certificates
) -> None:
    proxy = make_proxy(provider, {"passthrough": {"hosts": ["*.openai.com"]}})
    async with await secure(proxy.port(), trusting(authority.ca)) as client:
        client.send(request("GET", "/v1/models"))
        assert (await client.answer()).status == 200
    assert proxy.metric("skinflint_client_connections_total", kind="tunnelled_passthrough") == 1


async def test_a_disabled_provider_is_tunnelled(
    make_proxy: MakeProxy, provider: Providers, authority: Certificates
) -> None:
    proxy = make_proxy(provider, {"disabled_providers": ["openai"]})
    async with await secure(proxy.port(), trusting(authority.ca)) as client:
        client.send(request("GET", "/v1/models"))
        assert (await client.answer()).status == 200


async def test_a_pinning_client_is_refused_once_and_then_tunnelled(
    make_proxy: MakeProxy, provider: Providers, authority: Certificates
) -> None:
    proxy = make_proxy(provider)
    with pytest.raises(ssl.SSLCertVerificationError):
        await secure(proxy.port(), trusting(authority.ca))
    await until(lambda: proxy.metric("skinflint_client_connections_total", kind="rejected") == 1, "it was noticed")
    for _ in range(3):
        async with await secure(proxy.port(), trusting(authority.ca)) as client:
            client.send(request("GET", "/v1/models"))
            assert (await client.answer()).status == 200
    assert len(proxy.logged("client_rejects_our_certificate")) == 1
    assert proxy.metric("skinflint_client_connections_total", kind="tunnelled_pinned") == 3


async def test_a_pin_does_not_spread_to_other_clients(
    make_proxy: MakeProxy, provider: Providers, authority: Certificates
) -> None:
    proxy = make_proxy(provider)
    with pytest.raises(ssl.SSLCertVerificationError):
        await secure(proxy.port(), trusting(authority.ca))
    await until(lambda: proxy.metric("skinflint_client_connections_total", kind="rejected") == 1, "it was noticed")
    other_stack = proxy.trust()
    other_stack.maximum_version = ssl.TLSVersion.TLSv1_2
    async with await secure(proxy.port(), other_stack) as client:
        client.send(request("GET", "/v1/models"))
        assert (await client.answer()).header("x-skinflint-cache")


async def test_a_client_that_closes_silently_is_tunnelled_after_three_times(
    make_proxy: MakeProxy, provider: Providers, authority: Certificates
) -> None:
    proxy = make_proxy(provider)
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    for number in range(3):
        async with await secure(proxy.port(), context) as client:
            client.abort()
        seen = number + 1
        await until(
            lambda seen=seen: proxy.metric("skinflint_client_connections_total", kind="rejected") == seen,  # type: ignore[misc]
            "the close was noticed",
        )
    async with await secure(proxy.port(), context) as client:
        client.send(request("GET", "/v1/models"))
        answer = await client.answer()
    assert (answer.status, answer.header("x-skinflint-cache")) == (200, "")
    assert [event["reason"] for event in proxy.logged("client_rejects_our_certificate")] == ["closed_without_a_word"]


async def test_pins_are_not_learned_when_told_so(
    make_proxy: MakeProxy, provider: Providers, authority: Certificates
) -> None:
    proxy = make_proxy(provider, {"passthrough": {"learn_pins": False}})
    for _ in range(3):
        with pytest.raises(ssl.SSLCertVerificationError):
            await secure(proxy.port(), trusting(authority.ca))


@pytest.mark.parametrize("alpn", [("grpc-exp", "h2"), ("grpc-exp",), ("imap",)])
async def test_other_protocols_by_alpn_are_tunnelled(
    make_proxy: MakeProxy, certified: TestCa, alpn: tuple[str, ...]
) -> None:
    async with origin(echo, certified.context(HOST, alpn=alpn)) as port:
        proxy = make_proxy(None, {"upstream": {"resolve": {HOST: f"127.0.0.1:{port}"}}})
        async with await secure(proxy.port(), trusting(certified.root, *alpn), HOST) as client:
            assert client.tls.selected_alpn_protocol() == alpn[0]
            client.send(b"\0\1 no HTTP")
            assert await client.read() == b"\0\1 no HTTP"
        assert proxy.metric("skinflint_client_connections_total", kind="tunnelled_other_protocol") == 1


async def grpc_echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """A gRPC server that sends each message back, and its status in trailers."""
    connection = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False, header_encoding="utf-8"))
    connection.initiate_connection()
    writer.write(connection.data_to_send())
    while data := await reader.read(65_536):
        for event in connection.receive_data(data):
            if isinstance(event, h2.events.RequestReceived):
                path = next(str(value) for name, value in event.headers if str(name) == ":path")
                fields = [(":status", "200"), ("content-type", "application/grpc"), ("x-path", path)]
                connection.send_headers(event.stream_id, fields)
            elif isinstance(event, h2.events.DataReceived):
                connection.acknowledge_received_data(event.flow_controlled_length or 0, event.stream_id)
                connection.send_data(event.stream_id, event.data)
            elif isinstance(event, h2.events.StreamEnded):
                trailers = [("grpc-status", "0"), ("grpc-message", "fine")]
                connection.send_headers(event.stream_id, trailers, end_stream=True)
        writer.write(connection.data_to_send())


async def test_grpc_passes_raw_with_its_trailers(make_proxy: MakeProxy, certified: TestCa) -> None:
    async with origin(grpc_echo, certified.context(HOST, alpn=("h2",))) as port:
        upstream = {"resolve": {HOST: f"127.0.0.1:{port}"}, "extra_ca": [str(certified.root)]}
        proxy = make_proxy(None, {"upstream": upstream})
        trust = proxy.trust()
        trust.set_alpn_protocols(["h2"])
        async with H2Client(await secure(proxy.port(), trust)) as client:
            kind = [("content-type", "application/grpc"), ("te", "trailers")]
            stream = client.open("POST", "/service/Method", kind, host=HOST, end=False)
            for message in (b"\0\0\0\0\3one", b"\0\0\0\0\3two"):
                await client.write(stream, message)
                await client.wait(lambda message=message: stream.body.endswith(message))
            second = client.open("POST", "/service/Other", kind, host=HOST, end=True)
            client.h2.end_stream(stream.id)
            client.send()
            await client.finish(stream)
            await client.finish(second)
    assert stream.body == b"\0\0\0\0\3one\0\0\0\0\3two"
    assert stream.trailers == [("grpc-status", "0"), ("grpc-message", "fine")]
    assert second.header("x-path") == "/service/Other"


async def test_a_websocket_passes_both_ways_and_stands_in_the_ledger(
    make_proxy: MakeProxy, provider: Providers
) -> None:
    proxy = make_proxy(provider)
    fields = [
        ("connection", "Upgrade"),
        ("upgrade", "websocket"),
        ("sec-websocket-version", "13"),
        ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ]
    async with await secure(proxy.port(), proxy.trust()) as client:
        client.send(request("GET", "/v1/realtime?model=gpt-realtime", None, fields))
        answer = await client.head()
        assert (answer.status, answer.header("sec-websocket-accept")) == (101, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=")
        size = (await client.read_exactly(2))[1]
        assert b"session.created" in await client.read_exactly(size)
        for number in range(20):
            message = b"message %02d" % number
            client.send(b"\x81" + bytes([0x80 | len(message)]) + bytes(4) + message)
            assert await client.read_exactly(2 + len(message)) == b"\x81" + bytes([len(message)]) + message
        client.send(b"\x88\x82\0\0\0\0\x03\xe8")
        assert await client.read_all() == b"\x88\x02\x03\xe8"
    (row,) = proxy.settled(1)
    assert (row["operation"], row["outcome"], row["status"]) == ("realtime", "bypass", 101)
    assert row["response_bytes"]


async def test_an_upgrade_to_h2c_is_answered_as_an_ordinary_request(proxy: RunningProxy, provider: Providers) -> None:
    fields = [("connection", "Upgrade, HTTP2-Settings"), ("upgrade", "h2c"), ("http2-settings", "AAMAAABkAAQAAP__")]
    async with await secure(proxy.port(), proxy.trust()) as client:
        client.send(request("GET", "/v1/models", None, fields))
        assert (await client.answer()).status == 200
