"""Listeners: a regular one in all the ways that clients use it, several at once, IPv6, and reverse ones."""

import asyncio
import socket
import ssl

import httpx2
import pytest

from proxy.demo.certificates import Certificates
from tests.conftest import MakeProvider, MakeProxy
from tests.e2e.calls import CHAT, chat, said
from tests.support.background import Providers
from tests.support.origins import echo, origin
from tests.support.raw_client import RawClient, connect, post, request, secure, tunnel
from tests.support.running import RunningProxy

HOST = "api.openai.com"
CONNECT = b"CONNECT api.openai.com:443 HTTP/1.1\r\nHost: api.openai.com:443\r\nUser-Agent: a\r\n\r\n"
MODELS = request("GET", "/v1/models")


async def test_connect_and_tls(proxy: RunningProxy, provider: Providers, prompt: str) -> None:
    async with await secure(proxy.port(), proxy.trust()) as client:
        client.send(post(chat(prompt)))
        assert said(await client.answer()) == "miss"


async def test_the_leaf_is_for_the_host_and_from_our_root_alone(proxy: RunningProxy, authority: Certificates) -> None:
    async with await secure(proxy.port(), proxy.trust()) as client:
        shown = client.tls.getpeercert()
        assert shown is not None
        assert ("DNS", HOST) in shown["subjectAltName"]


async def test_a_client_library_through_the_proxy(proxy: RunningProxy, provider: Providers, prompt: str) -> None:
    async with httpx2.AsyncClient(proxy=proxy.url, verify=proxy.trust(), trust_env=False, timeout=20) as client:
        answers = [
            await client.post(
                f"https://{HOST}{CHAT}",
                content=chat(prompt),
                headers={"authorization": "Bearer sk", "content-type": "application/json"},
            )
            for _ in range(2)
        ]
    assert [answer.headers["x-skinflint-cache"] for answer in answers] == ["miss", "hit"]


async def test_an_absolute_target_is_fetched_over_http(
    make_proxy: MakeProxy, make_provider: MakeProvider, prompt: str
) -> None:
    plain = make_provider(tls=False)
    proxy = make_proxy(plain)
    async with await connect(proxy.port()) as client:
        for expected in ("miss", "hit"):
            client.send(post(chat(prompt), f"http://{HOST}{CHAT}"))
            answer = await client.answer()
            assert (answer.status, said(answer)) == (200, expected)
    assert plain.count(path=CHAT, host=HOST) == 1


async def test_an_absolute_target_elsewhere_is_fetched_untouched(proxy: RunningProxy) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(head), head))

    async with origin(serve) as port, await connect(proxy.port()) as client:
        client.send(request("GET", f"http://127.0.0.1:{port}/some/path?x=1", host=f"127.0.0.1:{port}"))
        answer = await client.answer()
        assert answer.status == 200
        assert answer.body.startswith(b"GET /some/path?x=1 HTTP/1.1\r\n")


async def test_a_request_that_names_no_origin_is_told_how(proxy: RunningProxy) -> None:
    async with await connect(proxy.port()) as client:
        client.send(request("GET", "/v1/models", host=f"127.0.0.1:{proxy.port()}"))
        answer = await client.answer()
        assert answer.status == 400
        assert b"HTTPS_PROXY" in answer.body


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]"])
async def test_a_loop_to_ourselves_is_refused(proxy: RunningProxy, host: str) -> None:
    async with await connect(proxy.port()) as client:
        client.send(f"CONNECT {host}:{proxy.port()} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        assert (await client.read_all()).startswith(b"HTTP/1.1 508 ")


async def test_an_absolute_target_that_leads_back_to_us_is_refused(proxy: RunningProxy) -> None:
    async with await connect(proxy.port()) as client:
        target = f"127.0.0.1:{proxy.port()}"
        client.send(request("GET", f"http://{target}/", host=target))
        assert (await client.answer()).status in (400, 508)


@pytest.mark.parametrize(("records", "is_served"), [(20, True), (40, False)])
async def test_a_client_hello_may_come_in_some_records(proxy: RunningProxy, records: int, is_served: bool) -> None:
    async with await tunnel(proxy.port(), f"{HOST}:443") as client:
        hello = client.client_hello(proxy.trust(), HOST)[5:]
        size = -(-len(hello) // records)
        for at in range(0, len(hello), size):
            piece = hello[at : at + size]
            client.send_raw(b"\x16\x03\x01" + len(piece).to_bytes(2) + piece)
        if is_served:
            await client.finish_handshake()
        else:
            with pytest.raises((EOFError, OSError)):
                await client.finish_handshake()
            assert proxy.logged("connection_closed")[0]["reason"] == "oversized_client_hello"


async def test_a_client_hello_may_come_with_the_connect(proxy: RunningProxy, provider: Providers) -> None:
    async with await connect(proxy.port()) as client:
        hello = client.client_hello(proxy.trust(), HOST)
        client.send_raw(CONNECT + hello)
        head = await client_head(client)
        assert head.startswith(b"HTTP/1.1 200 ")
        await client.finish_handshake()
        client.send(MODELS)
        assert (await client.answer()).status == 200


async def client_head(client: RawClient) -> bytes:
    """The head that answers a CONNECT, read below TLS and no byte more."""
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        head += await asyncio.wait_for(client._reader.readexactly(1), 20)
    return head


async def test_a_client_hello_may_come_before_the_answer_to_connect(proxy: RunningProxy, provider: Providers) -> None:
    async with await connect(proxy.port()) as client:
        hello = client.client_hello(proxy.trust(), HOST)
        client.send_raw(CONNECT)
        await client.flush()
        client.send_raw(hello[:100])
        await client.flush()
        await client_head(client)
        client.send_raw(hello[100:])
        await client.finish_handshake()
        client.send(MODELS)
        assert (await client.answer()).status == 200


async def test_connect_and_client_hello_may_come_byte_by_byte(proxy: RunningProxy, provider: Providers) -> None:
    async with await connect(proxy.port()) as client:
        await client.send_slowly(CONNECT)
        assert (await client_head(client)).startswith(b"HTTP/1.1 200 ")
        for byte in client.client_hello(proxy.trust(), HOST):
            client.send_raw(bytes([byte]))
            await client.flush()
        await client.finish_handshake()
        client.send(MODELS)
        assert (await client.answer()).status == 200


async def test_early_bytes_for_another_host_are_passed_on(proxy: RunningProxy) -> None:
    async with origin(echo) as port, await connect(proxy.port()) as client:
        client.send(f"CONNECT localhost:{port} HTTP/1.1\r\nHost: x\r\n\r\nearly".encode())
        assert await client.read_until(b"\r\n\r\n")
        assert await client.read_exactly(5) == b"early"
        client.send(b"later")
        assert await client.read_exactly(5) == b"later"


async def test_plain_http_through_connect_is_answered_for_a_provider(
    make_proxy: MakeProxy, make_provider: MakeProvider, prompt: str
) -> None:
    proxy = make_proxy(make_provider(tls=False))
    async with await tunnel(proxy.port(), f"{HOST}:80") as client:
        client.send(post(chat(prompt)))
        assert said(await client.answer()) == "miss"


async def test_the_name_in_the_client_hello_decides_behind_an_address(
    make_proxy: MakeProxy, provider: Providers, prompt: str
) -> None:
    proxy = make_proxy(provider)
    async with await tunnel(proxy.port(), "192.0.2.1:443") as client:
        await client.start_tls(proxy.trust(), HOST)
        client.send(post(chat(prompt)))
        assert said(await client.answer()) == "miss"


async def test_two_hundred_connections_at_once(proxy: RunningProxy, provider: Providers) -> None:
    async def one() -> int:
        async with await secure(proxy.port(), proxy.trust()) as client:
            client.send(MODELS)
            return (await client.answer()).status

    assert await asyncio.gather(*(one() for _ in range(200))) == [200] * 200


LISTENERS = [
    {"address": "127.0.0.1:0", "mode": "regular"},
    {"address": "[::1]:0", "mode": "regular"},
    {"address": "127.0.0.1:0", "mode": "reverse:https://api.openai.com"},
    {"address": "127.0.0.1:0", "mode": "reverse:https://api.mistral.ai"},
]


@pytest.fixture
def many(make_proxy: MakeProxy, provider: Providers) -> RunningProxy:
    """A proxy with all kinds of listeners."""
    return make_proxy(provider, {"listeners": LISTENERS})


async def test_several_listeners_share_one_cache(many: RunningProxy, provider: Providers, prompt: str) -> None:
    v6 = next(each.address for each in many.runtime.listeners if each.address.startswith("["))
    async with await secure(many.port(), many.trust()) as client:
        client.send(post(chat(prompt)))
        assert said(await client.answer()) == "miss"
    sixth = await tunnel(int(v6.rpartition(":")[2]), f"{HOST}:443", "::1")
    await sixth.start_tls(many.trust(), HOST)
    plain = await connect(many.port("reverse:https://api.openai.com"))
    async with sixth, plain:
        for client in (sixth, plain):
            client.send(post(chat(prompt)))
            assert said(await client.answer()) == "hit"
    other = await connect(many.port("reverse:https://api.mistral.ai"))
    async with other:
        other.send(post(chat(prompt)))
        assert said(await other.answer()) == "miss"
    assert [call.host for call in provider.calls] == [HOST, "api.mistral.ai"]


async def test_a_reverse_listener_takes_tls_clients_by_any_permitted_name(
    many: RunningProxy, provider: Providers, prompt: str
) -> None:
    for name in ("localhost", HOST):
        async with await connect(many.port("reverse:https://api.openai.com")) as client:
            await client.start_tls(many.trust(), name)
            client.send(post(chat(prompt), host="whatever.example"))
            assert (await client.answer()).status == 200
    assert {call.host for call in provider.calls} == {HOST}


async def test_listeners_do_not_listen_on_udp(many: RunningProxy) -> None:
    for listener in many.runtime.listeners:
        host, _, port = listener.address.rpartition(":")
        family = socket.AF_INET6 if host.startswith("[") else socket.AF_INET
        with socket.socket(family, socket.SOCK_DGRAM) as free:
            free.bind((host.strip("[]"), int(port)))


async def test_a_reverse_listener_speaks_http_to_an_http_origin(
    make_proxy: MakeProxy, make_provider: MakeProvider, prompt: str
) -> None:
    plain = make_provider(tls=False)
    mode = f"reverse:http://localhost:{plain.port}"
    providers = {"mine": {"dialect": "openai", "hosts": [f"localhost:{plain.port}"]}}
    settings = {"listeners": [{"address": "127.0.0.1:0", "mode": mode}], "providers": providers}
    proxy = make_proxy(None, settings)
    async with await connect(proxy.port(mode)) as client:
        for expected in ("miss", "hit"):
            client.send(post(chat(prompt), host="127.0.0.1"))
            answer = await client.answer()
            assert (answer.status, said(answer)) == (200, expected)


async def test_a_reverse_listener_closes_a_client_whose_name_it_may_not_take(many: RunningProxy) -> None:
    async with await connect(many.port("reverse:https://api.openai.com")) as client:
        with pytest.raises((ssl.SSLError, ConnectionError)):
            await client.start_tls(many.trust(), "bank.example")
