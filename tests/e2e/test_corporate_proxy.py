"""Where the way out leads through another proxy: calls and tunnels take it, and its refusals are said."""

import base64
import ssl
from collections.abc import Iterator

import pytest

from tests.conftest import MakeProxy
from tests.e2e.calls import ask, chat, get
from tests.support.background import Providers
from tests.support.connect_proxy import ConnectProxy, connect_proxy
from tests.support.raw_client import connect, request, tunnel
from tests.support.running import RunningProxy
from tests.support.x509 import TestCa

HOST = "api.openai.com"
OTHER = "other.example"
BASIC = "Basic " + base64.b64encode(b"user:p@ss word").decode()


@pytest.fixture
def way_out(certified: TestCa) -> Iterator[ConnectProxy]:
    """The other proxy."""
    with connect_proxy(certified.context(HOST, OTHER)) as running:
        yield running


def through(way_out: ConnectProxy, certified: TestCa, **more: object) -> dict[str, object]:
    """Settings that take it."""
    url = f"http://user:p%40ss%20word@127.0.0.1:{way_out.port}"
    return {"upstream": {"proxy": url, "extra_ca": [str(certified.root)], **more}}


async def test_calls_take_it(way_out: ConnectProxy, make_proxy: MakeProxy, certified: TestCa) -> None:
    proxy = make_proxy(None, through(way_out, certified))
    answer = await get(proxy, "/v1/models")
    assert (answer.status, answer.body) == (200, b"ok")
    assert way_out.requests == ["GET /v1/models HTTP/1.1"]
    assert len(way_out.heads) == 2  # the first one only showed that the origin speaks HTTP/1.1
    for head in way_out.heads:
        assert head.startswith(f"CONNECT {HOST}:443 HTTP/1.1\r\n")
        assert BASIC in head


async def test_tunnels_take_it(way_out: ConnectProxy, make_proxy: MakeProxy, certified: TestCa) -> None:
    proxy = make_proxy(None, through(way_out, certified))
    async with await tunnel(proxy.port(), f"{OTHER}:443") as client:
        await client.start_tls(ssl.create_default_context(cafile=str(certified.root)), OTHER)
        client.send(request("GET", "/", host=OTHER))
        assert (await client.answer()).body == b"ok"
    (head,) = way_out.heads
    assert head.startswith(f"CONNECT {OTHER}:443 HTTP/1.1\r\n")
    assert BASIC in head


async def test_exempt_hosts_do_not_take_it(
    way_out: ConnectProxy, make_proxy: MakeProxy, provider: Providers, certified: TestCa, prompt: str
) -> None:
    proxy = make_proxy(provider, {"upstream": {"proxy": way_out.url, "no_proxy": "localhost,.openai.com"}})
    assert (await ask(proxy, chat(prompt))).status == 200
    assert way_out.heads == []


async def test_its_refusal_is_a_502(make_proxy: MakeProxy, certified: TestCa, prompt: str) -> None:
    with connect_proxy(certified.context(HOST), b"407 Proxy Authentication Required") as refusing:
        proxy = make_proxy(None, through(refusing, certified))
        answer = await ask(proxy, chat(prompt))
        assert (answer.status, answer.header("proxy-status")) == (502, "skinflint; error=proxy_error")
        async with await connect(proxy.port()) as client:
            client.send(f"CONNECT {OTHER}:443 HTTP/1.1\r\nhost: {OTHER}\r\n\r\n".encode())
            assert (await client.answer()).status == 502


async def test_its_absence_is_a_502(make_proxy: MakeProxy, prompt: str) -> None:
    proxy = make_proxy(None, {"upstream": {"proxy": "http://127.0.0.1:1"}})
    answer = await ask(proxy, chat(prompt))
    assert (answer.status, answer.header("proxy-status")) == (502, "skinflint; error=proxy_error")


async def test_its_password_is_not_logged(way_out: ConnectProxy, make_proxy: MakeProxy, certified: TestCa) -> None:
    proxy: RunningProxy = make_proxy(None, through(way_out, certified) | {"log": {"level": "debug"}})
    await get(proxy, "/v1/models")
    assert proxy.stop() == 0
    assert "p@ss" not in proxy.process.output
    assert "p%40ss" not in proxy.process.output
