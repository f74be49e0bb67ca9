"""What is not ours passes byte for byte, with the origin's own certificate: other hosts, pinning clients, gRPC."""

import asyncio
import hashlib
import os

from proxy.demo.certificates import Certificates
from tests.conftest import MakeProxy
from tests.support.background import Providers
from tests.support.origins import echo, origin
from tests.support.raw_client import RawClient, connect, request, secure, tunnel
from tests.support.running import RunningProxy
from tests.support.waiting import until
from tests.support.x509 import TestCa, trusting

MIB = 1024 * 1024


HOST = "api.openai.com"


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
        assert (answer.status, answer.header("proxy-status")) == (502, "skinflint; error=connection_refused")
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
