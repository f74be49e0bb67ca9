"""What stops being HTTP on connections to providers, or never was: gRPC and WebSockets pass through."""

import asyncio

import h2.config
import h2.connection
import h2.events
import pytest

from tests.conftest import MakeProxy
from tests.support.background import Providers
from tests.support.h2_client import H2Client
from tests.support.origins import echo, origin
from tests.support.raw_client import connect, request, secure
from tests.support.running import RunningProxy
from tests.support.x509 import TestCa, trusting

HOST = "api.openai.com"


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


async def test_after_a_declined_upgrade_no_other_request_goes_to_that_origin(make_proxy: MakeProxy) -> None:
    seen: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(b"HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nno")
        seen.append(await reader.read(65_536))

    async with origin(serve) as port:
        proxy = make_proxy(None, {"upstream": {"resolve": {"a.example": f"127.0.0.1:{port}"}}})
        async with await connect(proxy.port()) as client:
            fields = "Connection: Upgrade\r\nUpgrade: websocket\r\nProxy-Authorization: Basic c2VjcmV0\r\n"
            first = f"GET http://a.example/ HTTP/1.1\r\nHost: a.example\r\n{fields}\r\n"
            second = "GET http://b.example/ HTTP/1.1\r\nHost: b.example\r\nProxy-Authorization: Basic c2VjcmV0\r\n\r\n"
            client.send(first.encode())
            answer = await client.answer()
            assert (answer.status, answer.body) == (200, b"no")
            client.send(second.encode())
            assert await client.read_all() == b""
    assert seen[0].startswith(b"GET / HTTP/1.1\r\nhost: a.example\r\n")
    assert b"c2VjcmV0" not in b"".join(seen)
    assert seen[1] == b""


@pytest.mark.parametrize("answer", [b"", b"SSH-2.0\r\n\r\n", b"HTTP/1.1 200 OK\r\nx: " + b"x" * 70_000 + b"\r\n\r\n"])
async def test_an_origin_that_gives_no_answer_to_an_upgrade_is_said(make_proxy: MakeProxy, answer: bytes) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)

    async with origin(serve) as port:
        proxy = make_proxy(None, {"upstream": {"resolve": {"a.example": f"127.0.0.1:{port}"}}})
        async with await connect(proxy.port()) as client:
            fields = "Connection: Upgrade\r\nUpgrade: websocket\r\n"
            client.send(f"GET http://a.example/ HTTP/1.1\r\nHost: a.example\r\n{fields}\r\n".encode())
            assert (await client.answer()).status == 502
