"""Listeners with TLS of their own: an HTTPS proxy, with TLS inside TLS, and tenants by their client certificates."""

import asyncio
import contextlib
import ssl
import subprocess
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import httpx2
import orjson
import pytest

from tests.conftest import MakeProxy
from tests.e2e.calls import CHAT, chat
from tests.e2e.gateway_calls import HOST, Tenants, connect_to, curl
from tests.support.background import Providers
from tests.support.origins import echo, origin
from tests.support.processes import clients_python, environment
from tests.support.raw_client import RawClient, connect, post
from tests.support.running import RunningProxy
from tests.support.x509 import TestCa

NAME = "gateway.test"
SPIFFE = "spiffe://cluster.local/ns/search/sa/web"

pytestmark = pytest.mark.usefixtures("provider")


@pytest.fixture
def ca(tmp_path: Path) -> TestCa:
    """Of the gateway's listener, and of its clients."""
    return TestCa(tmp_path)


def secured(ca: TestCa, *, mutual: bool = False, **more: object) -> dict[str, object]:
    """Settings with such a listener."""
    pair = str(ca.server(NAME, "127.0.0.1"))
    tls: Mapping[str, object] = {"certificate": pair, "key": pair, "client_ca": str(ca.root) if mutual else None}
    return {"profile": "gateway", "listeners": [{"address": "127.0.0.1:0", "tls": tls}], **more}


@contextlib.asynccontextmanager
async def inside(proxy: RunningProxy, context: ssl.SSLContext) -> AsyncIterator[RawClient]:
    """A connection whose outer TLS is the test's own work, so that the raw client can do the inner one."""
    async with await connect(proxy.port()) as client:
        await client.start_tls(context, NAME)
        yield client


def trust(ca: TestCa, certificate: Path | None = None) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=str(ca.root))
    if certificate is not None:
        context.load_cert_chain(certificate)
    return context


async def test_a_client_library_uses_an_https_proxy(
    make_proxy: MakeProxy, provider: Providers, ca: TestCa, prompt: str
) -> None:
    proxy = make_proxy(provider, secured(ca))
    way = httpx2.Proxy(f"https://127.0.0.1:{proxy.port()}", ssl_context=trust(ca))
    async with httpx2.AsyncClient(proxy=way, verify=proxy.trust(), trust_env=False, timeout=20) as client:
        fields = {"authorization": "Bearer sk", "content-type": "application/json"}
        told = []
        for _ in range(3):
            answer = await client.post(f"https://{HOST}{CHAT}", content=chat(prompt), headers=fields)
            told.append(answer.headers["x-skinflint-cache"])
        async with client.stream(
            "POST", f"https://{HOST}{CHAT}", content=chat(prompt, stream=True), headers=fields
        ) as streamed:
            pieces = [piece async for piece in streamed.aiter_bytes()]
    assert told == ["miss", "hit", "hit"]
    assert b"".join(pieces).endswith(b"data: [DONE]\n\n")


async def test_curl_uses_an_https_proxy_with_a_token(
    make_proxy: MakeProxy, provider: Providers, ca: TestCa, tmp_path: Path
) -> None:
    tenants = Tenants(tmp_path / "credentials", "team-a")
    proxy = make_proxy(provider, secured(ca, access={"credentials": str(tenants.file)}))
    ways = ("--proxy", f"https://127.0.0.1:{proxy.port()}", "--proxy-cacert", str(ca.root))
    inner = ("--cacert", str(proxy.runtime.ca), "-w", "%{http_connect} %{http_code}", "--output", "answer")
    url = ("--header", "authorization: Bearer sk", f"https://{HOST}/v1/models")
    user = ("--proxy-user", f"team-a:{tenants.tokens['team-a']}")
    assert curl(tmp_path, *ways, *inner, *user, *url).stdout == "200 200"
    assert curl(tmp_path, *ways, *inner, *url).stdout == "407 000"


async def test_the_sdk_uses_an_https_proxy(
    make_proxy: MakeProxy, provider: Providers, ca: TestCa, tmp_path: Path
) -> None:
    python = clients_python()
    if python is None:
        pytest.skip("the SDKs are not installed: make clients")
    proxy = make_proxy(provider, secured(ca))
    both = tmp_path / "both.pem"
    both.write_bytes(ca.root.read_bytes() + proxy.runtime.ca.read_bytes())
    script = (
        "import openai\n"
        "made = openai.OpenAI(max_retries=0)\n"
        "ask = dict(model='gpt-4o-mini', messages=[{'role': 'user', 'content': 'sdk'}], temperature=0)\n"
        "print(made.chat.completions.create(**ask).choices[0].finish_reason)\n"
    )
    environ = {
        **environment(tmp_path),
        "HTTPS_PROXY": f"https://127.0.0.1:{proxy.port()}",
        "SSL_CERT_FILE": str(both),
        "OPENAI_API_KEY": "sk-test",
    }
    environ.pop("PYTHONPATH")
    done = subprocess.run([python, "-c", script], env=environ, capture_output=True, text=True, check=False, timeout=60)
    assert done.stdout.split() == ["stop"], done.stderr


async def test_a_client_certificate_names_the_tenant(
    make_proxy: MakeProxy, provider: Providers, ca: TestCa, prompt: str, tmp_path: Path
) -> None:
    names = {"spiffe://cluster.local/ns/search/*": "search"}
    proxy = make_proxy(provider, secured(ca, mutual=True, access={"certificates": names}))
    ways = ("--proxy", f"https://127.0.0.1:{proxy.port()}", "--proxy-cacert", str(ca.root))
    inner = ("--cacert", str(proxy.runtime.ca), "-w", "%{http_connect} %{http_code}", "--output", "answer")
    ask = (
        *("--header", "content-type: application/json", "--header", "authorization: Bearer sk"),
        *("--data-binary", chat(prompt).decode(), f"https://{HOST}{CHAT}"),
    )
    known, stranger = str(ca.server(SPIFFE)), str(ca.server("spiffe://cluster.local/ns/other/sa/x"))
    assert curl(tmp_path, *ways, *inner, "--proxy-cert", known, *ask).stdout == "200 200"
    assert curl(tmp_path, *ways, *inner, "--proxy-cert", stranger, *ask).stdout == "403 000"
    assert curl(tmp_path, *ways, *inner, *ask).returncode != 0
    assert [orjson.loads(str(row["labels"])) for row in proxy.settled(1)] == [{"tenant": "search"}]
    assert proxy.metric("skinflint_refused_total", reason="certificate") == 1


async def test_without_a_table_the_certificates_name_is_the_tenant(
    make_proxy: MakeProxy, provider: Providers, ca: TestCa
) -> None:
    proxy = make_proxy(provider, secured(ca, mutual=True))
    async with inside(proxy, trust(ca, ca.server(SPIFFE))) as client:
        client.send(post(chat("x"), f"http://{HOST}:80{CHAT}"))
        assert (await client.answer()).status in (200, 502)  # the simulator speaks TLS
    assert [orjson.loads(str(row["labels"])) for row in proxy.settled(1)] == [{"tenant": SPIFFE}]


async def test_a_renewed_certificate_serves_the_next_handshake(
    make_proxy: MakeProxy, provider: Providers, ca: TestCa, tmp_path: Path
) -> None:
    settings = secured(ca)
    served = tmp_path / "served.pem"
    served.write_bytes(ca.server(NAME).read_bytes())
    settings["listeners"] = [{"address": "127.0.0.1:0", "tls": {"certificate": str(served), "key": str(served)}}]
    proxy = make_proxy(provider, settings)
    async with inside(proxy, trust(ca)) as client:
        before = client.tls.getpeercert(binary_form=True)
    served.write_bytes(b"nonsense")
    proxy.logged("certificate_refused")
    served.write_bytes(ca.server(NAME, "other.test").read_bytes())
    proxy.logged("certificate_reloaded")
    async with inside(proxy, trust(ca)) as client:
        assert client.tls.getpeercert(binary_form=True) != before
        assert (await connect_to(client, f"{HOST}:443")).startswith(b"HTTP/1.1 200")


async def test_plain_words_to_such_a_listener_are_closed(
    make_proxy: MakeProxy, provider: Providers, ca: TestCa
) -> None:
    proxy = make_proxy(provider, secured(ca))
    async with await connect(proxy.port()) as client:
        client.send(f"CONNECT {HOST}:443 HTTP/1.1\r\n\r\n".encode())
        assert not (await client.read_all()).startswith(b"HTTP/")
    way = httpx2.Proxy(f"https://127.0.0.1:{proxy.port()}", ssl_context=trust(ca))
    async with httpx2.AsyncClient(proxy=way, verify=proxy.trust(), trust_env=False, timeout=20) as client:
        assert (
            await client.get(f"https://{HOST}/v1/models", headers={"authorization": "Bearer sk"})
        ).status_code == 200


async def test_workers_have_it_too(make_process: MakeProxy, provider: Providers, ca: TestCa, prompt: str) -> None:
    proxy = make_process(provider, secured(ca, mutual=True, workers=2))
    way = httpx2.Proxy(f"https://127.0.0.1:{proxy.port()}", ssl_context=trust(ca, ca.server(SPIFFE)))
    told = []
    for _ in range(6):
        async with httpx2.AsyncClient(proxy=way, verify=proxy.trust(), trust_env=False, timeout=20) as client:
            fields = {"authorization": "Bearer sk", "content-type": "application/json"}
            answer = await client.post(f"https://{HOST}{CHAT}", content=chat(prompt), headers=fields)
            told.append(answer.headers["x-skinflint-cache"])
    assert told == ["miss"] + ["hit"] * 5


async def test_handshakes_that_nobody_finishes_are_bounded_and_end(
    make_proxy: MakeProxy, provider: Providers, ca: TestCa
) -> None:
    proxy = make_proxy(provider, secured(ca, limits={"max_connections": 4, "client_head_s": 1.0}))
    async with contextlib.AsyncExitStack() as opened:
        silent = [await opened.enter_async_context(await connect(proxy.port())) for _ in range(8)]
        for each in silent:  # the first ones were too many, the last ones took too long
            with contextlib.suppress(ConnectionError):
                assert await each.read_all() == b""


async def test_who_opens_connections_and_says_nothing_keeps_nobody_out(
    make_proxy: MakeProxy, provider: Providers, ca: TestCa
) -> None:
    proxy = make_proxy(provider, secured(ca, limits={"max_connections": 4, "client_head_s": 60.0}))
    async with contextlib.AsyncExitStack() as opened:
        silent = [await opened.enter_async_context(await connect(proxy.port())) for _ in range(4)]
        async with inside(proxy, trust(ca)) as client:
            assert (await connect_to(client, f"{HOST}:443")).startswith(b"HTTP/1.1 200")
            with contextlib.suppress(ConnectionError):
                assert await silent[0].read_all() == b""  # the oldest gave way


async def test_a_tunnel_carries_everything_and_waits_for_who_reads_slowly(make_proxy: MakeProxy, ca: TestCa) -> None:
    said = bytes(range(256)) * 4096 * 8
    async with origin(echo) as port:
        more = {"destinations": {"allow": [f"127.0.0.1:{port}"], "exceptions": ["127.0.0.1"]}}
        proxy = make_proxy(None, secured(ca, **more))
        async with inside(proxy, trust(ca)) as client:
            assert (await connect_to(client, f"127.0.0.1:{port}")).startswith(b"HTTP/1.1 200")
            before = proxy.metric("process_resident_memory_bytes")
            client.send(said)  # nothing is read until all of it is on its way
            sending = asyncio.ensure_future(client.flush())
            await asyncio.wait([sending], timeout=1.0)
            assert proxy.metric("process_resident_memory_bytes") - before < len(said)
            heard = bytearray()
            while len(heard) < len(said):
                heard += await client.read()
            await sending
    assert bytes(heard) == said
