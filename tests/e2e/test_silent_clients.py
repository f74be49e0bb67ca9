"""Clients that wait for their origin to speak, on the port where TLS is expected: SSH over 443, mail, and the like."""

import asyncio
import contextlib
import ssl
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from proxy.demo.certificates import Certificates
from proxy.demo.faults import Options
from tests.e2e.calls import chat, said
from tests.support.background import LoopThread, Providers, providers
from tests.support.netns import Namespace, lacking, namespace
from tests.support.origins import echo, origin
from tests.support.raw_client import RawClient, connect, post, tunnel
from tests.support.running import RunningProxy, merged, running_proxy
from tests.support.waiting import until
from tests.support.x509 import TestCa

pytestmark = pytest.mark.skipif(bool(lacking()), reason=lacking() or "namespaces can be made")

HOST = "api.openai.com"
V4, V6 = "192.0.2.10", "2001:db8::10"
MARK, OTHER_MARK = 7, 9
TRANSPARENT, OTHER, REGULAR = 15001, 15002, 3128
REDIRECT = f"""
table inet redirected {{
  chain out {{
    type nat hook output priority -100;
    meta mark {MARK} tcp dport 443 redirect to :{TRANSPARENT}
    meta mark {OTHER_MARK} tcp dport 443 redirect to :{OTHER}
  }}
}}
"""
LISTENERS = [
    {"address": f"127.0.0.1:{TRANSPARENT}", "mode": "transparent"},
    {"address": f"[::1]:{TRANSPARENT}", "mode": "transparent"},
    {"address": f"127.0.0.1:{REGULAR}", "mode": "regular"},
]
GREETING = b"SSH-2.0-origin\r\n"


@pytest.fixture(scope="module")
def pod() -> Iterator[Namespace]:
    """A pod, with addresses of "the internet" on its loopback, and its connections to port 443 redirected."""
    with namespace("silent") as made:
        made.run("ip", "addr", "add", f"{V4}/32", "dev", "lo")
        made.run("ip", "-6", "addr", "add", f"{V6}/128", "dev", "lo", "nodad")
        made.firewall(REDIRECT)
        yield made


@pytest.fixture(scope="module")
def inside(pod: Namespace) -> Iterator[LoopThread]:
    thread = LoopThread("silent", pod.file)
    yield thread
    thread.close()


@pytest.fixture(scope="module")
def provider(pod: Namespace, authority: Certificates) -> Iterator[Providers]:
    with providers(authority, Options(events=8), pod.file) as running:
        yield running


@contextlib.contextmanager
def proxy_in(
    pod: Namespace, provider: Providers, authority: Certificates, directory: Path, more: dict[str, object]
) -> Iterator[RunningProxy]:
    """A proxy within the pod."""
    upstream = {"resolve": {HOST: provider.address}, "extra_ca": [str(authority.ca)]}
    settings = merged({"listeners": LISTENERS, "upstream": upstream, "limits": {"client_silence_s": 0.05}}, more)
    with running_proxy(directory, settings, prefix=pod.command()) as running:
        yield running


@pytest.fixture(scope="module")
def proxy(
    pod: Namespace, provider: Providers, authority: Certificates, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunningProxy]:
    """One for all tests that want no settings of their own."""
    with proxy_in(pod, provider, authority, tmp_path_factory.mktemp("silent") / "proxy", {}) as running:
        yield running


class Listening:
    """An origin that says `greeting` first, if it is given one, and echoes then."""

    def __init__(self, greeting: bytes = b"") -> None:
        self._greeting = greeting
        self.came = 0
        self.ended = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.came += 1
        try:
            writer.write(self._greeting)
            await echo(reader, writer)
        finally:
            self.ended += 1


async def reach(address: str, way: str) -> RawClient:
    """A connection to port 443 there: led by the kernel, or by CONNECT."""
    if way == "transparent":
        return await connect(443, address, mark=MARK)
    return await tunnel(REGULAR, f"[{address}]:443" if ":" in address else f"{address}:443")


WAYS = pytest.mark.parametrize("way", ["transparent", "connect"])


@WAYS
@pytest.mark.parametrize("address", [V4, V6])
def test_an_origin_that_speaks_first_is_heard_and_answered(
    proxy: RunningProxy, inside: LoopThread, address: str, way: str
) -> None:
    listening = Listening(GREETING)

    async def talk() -> bytes:
        async with origin(listening.serve, None, address, 443), await reach(address, way) as client:
            assert await client.read_exactly(len(GREETING)) == GREETING
            client.send(b"\x16 anything\r\n")
            client.send_fin()
            return await client.read_all()

    assert inside.run(talk()) == b"\x16 anything\r\n"
    assert listening.came == 1


@WAYS
def test_a_client_that_names_a_provider_after_a_silence_is_answered_by_us(
    proxy: RunningProxy, inside: LoopThread, prompt: str, way: str
) -> None:
    listening = Listening()

    async def talk() -> str:
        async with origin(listening.serve, None, V4, 443), await reach(V4, way) as client:
            await until(lambda: listening.came == 1, "the origin is listened to")
            await client.start_tls(proxy.trust(), HOST)
            await until(lambda: listening.ended == 1, "its connection is closed")
            client.send(post(chat(prompt), host=HOST))
            return said(await client.answer())

    assert inside.run(talk()) == "miss"


@WAYS
def test_a_client_that_names_another_host_after_a_silence_is_relayed_on_the_same_connection(
    proxy: RunningProxy, inside: LoopThread, tmp_path: Path, way: str
) -> None:
    certified = TestCa(tmp_path)
    listening, secure = Listening(), certified.context("other.example")

    async def with_tls(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        listening.came += 1
        await writer.start_tls(secure)
        await echo(reader, writer)

    async def talk() -> bytes:
        async with origin(with_tls, None, V4, 443), await reach(V4, way) as client:
            await until(lambda: listening.came == 1, "the origin is listened to")
            await client.start_tls(ssl.create_default_context(cafile=str(certified.root)), "other.example")
            client.send(b"hello")
            return await client.read()

    assert inside.run(talk()) == b"hello"
    assert listening.came == 1


def test_an_origin_that_closes_without_a_word_closes_the_client(proxy: RunningProxy, inside: LoopThread) -> None:
    async def close(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    async def talk() -> bytes:
        async with origin(close, None, V4, 443), await reach(V4, "transparent") as client:
            return await client.read_all()

    assert inside.run(talk()) == b""


@WAYS
def test_a_client_that_leaves_in_silence_leaves_no_connection(
    proxy: RunningProxy, inside: LoopThread, way: str
) -> None:
    listening = Listening()

    async def talk() -> None:
        async with origin(listening.serve, None, V4, 443):
            client = await reach(V4, way)
            await until(lambda: listening.came == 1, "the origin is listened to")
            await client.close()
            await until(lambda: listening.ended == 1, "its connection is closed")

    inside.run(talk())


@pytest.mark.parametrize(
    "rules",
    [
        {"destinations": {"allow": ["providers"]}},
        {"destinations": {"private": False}},
        {"access": {"sources": {"203.0.113.0/24": "elsewhere"}}},
    ],
    ids=["destinations", "addresses", "access"],
)
def test_what_may_not_be_reached_is_not_opened_for_a_silent_client_either(
    pod: Namespace,
    provider: Providers,
    authority: Certificates,
    inside: LoopThread,
    tmp_path: Path,
    rules: dict[str, object],
) -> None:
    listening = Listening(GREETING)
    others = [{"address": f"127.0.0.1:{OTHER}", "mode": "transparent"}]

    async def talk() -> bytes:
        async with origin(listening.serve, None, V4, 443), await connect(443, V4, mark=OTHER_MARK) as client:
            return await client.read_all()

    own = {"listeners": others, "limits": {"client_head_s": 0.5}, **rules}
    with proxy_in(pod, provider, authority, tmp_path / "proxy", own):
        assert inside.run(talk()) == b""
    assert listening.came == 0


def test_a_first_word_that_is_short_is_passed_on(proxy: RunningProxy, inside: LoopThread) -> None:
    async def talk() -> bytes:
        async with origin(echo, None, V4, 443), await reach(V4, "transparent") as client:
            client.send(b"HI\n")
            return await client.read()

    assert inside.run(talk()) == b"HI\n"


def test_silent_connections_do_not_hold_up_the_end(
    pod: Namespace, provider: Providers, authority: Certificates, inside: LoopThread, tmp_path: Path
) -> None:
    listening = Listening()
    own = {"listeners": [{"address": "127.0.0.1:15003", "mode": "regular"}], "drain": {"timeout_s": 60, "idle_s": 0.2}}
    with (
        proxy_in(pod, provider, authority, tmp_path / "proxy", own) as proxy,
        inside.within(origin(listening.serve, None, V4, 443)),
    ):
        client = inside.run(tunnel(15003, f"{V4}:443"))
        inside.run(until(lambda: listening.came == 1, "the origin is listened to"))
        began = time.monotonic()
        assert proxy.stop() == 0
        assert time.monotonic() - began < 20
        assert inside.run(client.read_all()) == b""
        inside.run(client.close())
