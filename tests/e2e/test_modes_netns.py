"""Modes that need a network of their own: `hosts` (names resolve to us) and `transparent` (the kernel redirects)."""

import asyncio
import contextlib
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest

from proxy.demo.certificates import Certificates
from proxy.demo.dialects import HOSTS
from proxy.demo.faults import Options
from tests.e2e.calls import chat, said
from tests.support.background import LoopThread, Providers, providers
from tests.support.dns import dns
from tests.support.netns import Namespace, lacking, namespace
from tests.support.origins import echo, origin
from tests.support.raw_client import Answer, connect, post
from tests.support.running import RunningProxy, merged, running_proxy
from tests.support.x509 import TestCa

pytestmark = pytest.mark.skipif(bool(lacking()), reason=lacking() or "namespaces can be made")

HOST = "api.openai.com"
MARK = 7
REDIRECT = f"""
table inet redirected {{
  chain out {{
    type nat hook output priority -100;
    meta mark {MARK} tcp dport {{ 443, 8443 }} redirect to :15001
  }}
}}
"""
SILENCE = """
table inet silence {{
  chain out {{
    type filter hook output priority 0;
    {side} drop
  }}
}}
"""
ORIGIN = """
table ip origin {{
  chain out {{
    type nat hook output priority -100;
    ip daddr 192.0.2.10 tcp dport 443 redirect to :{port}
  }}
}}
"""


@pytest.fixture
def pod() -> Iterator[Namespace]:
    """A pod: its loopback, some addresses of "the internet" on it, its hosts file and its resolver."""
    hosts = "127.0.0.1 localhost\n" + "".join(f"127.0.0.1 {host}\n" for host in HOSTS)
    with namespace("pod", {"hosts": hosts, "resolv.conf": "nameserver 127.0.0.1\n"}) as made:
        made.run("ip", "addr", "add", "192.0.2.10/32", "dev", "lo")
        made.run("ip", "-6", "addr", "add", "2001:db8::10/128", "dev", "lo", "nodad")
        yield made


@pytest.fixture
def inside(pod: Namespace) -> Iterator[LoopThread]:
    """An event loop within the pod, for its clients and origins."""
    thread = LoopThread("pod", pod.file)
    yield thread
    thread.close()


@pytest.fixture
def provider(pod: Namespace, authority: Certificates) -> Iterator[Providers]:
    """Providers within the pod."""
    with providers(authority, Options(events=8), pod.file) as running:
        yield running


@contextlib.contextmanager
def proxy_in(pod: Namespace, directory: Path, settings: dict[str, object]) -> Iterator[RunningProxy]:
    """A proxy within the pod, under its hosts file."""
    with running_proxy(directory, settings, prefix=pod.command()) as running:
        yield running


def listening(mode: str, *addresses: str) -> dict[str, object]:
    """Settings with such listeners."""
    return {"listeners": [{"address": address, "mode": mode} for address in addresses]}


def towards(provider: Providers, authority: Certificates) -> dict[str, object]:
    """Settings that lead the provider's name to the simulator."""
    return {"upstream": {"resolve": {HOST: provider.address}, "extra_ca": [str(authority.ca)]}}


@pytest.fixture
def by_name(pod: Namespace, provider: Providers, authority: Certificates, tmp_path: Path) -> Iterator[RunningProxy]:
    """In `hosts` mode."""
    settings = merged(towards(provider, authority), listening("hosts", "127.0.0.1:443"))
    with proxy_in(pod, tmp_path / "proxy", settings) as running:
        yield running


@pytest.fixture
def redirected(pod: Namespace, provider: Providers, authority: Certificates, tmp_path: Path) -> Iterator[RunningProxy]:
    """In `transparent` mode, with the kernel's redirection."""
    pod.firewall(REDIRECT)
    settings = merged(towards(provider, authority), listening("transparent", "127.0.0.1:15001", "[::1]:15001"))
    with proxy_in(pod, tmp_path / "proxy", settings) as running:
        yield running


async def ask(prompt: str, trust: ssl.SSLContext, address: str, name: str | None = HOST, mark: int = 0) -> Answer:
    """A call to an address, as a client makes it that resolved the name by itself."""
    async with await connect(443, address, mark=mark) as client:
        await client.start_tls(trust, name)
        client.send(post(chat(prompt), host=name or HOST))
        return await client.answer()


def nameless(trust: ssl.SSLContext) -> ssl.SSLContext:
    """For a client that sends no server name."""
    trust.check_hostname = False
    return trust


def test_hosts_mode_finds_the_provider_by_its_server_name(
    by_name: RunningProxy, provider: Providers, inside: LoopThread, prompt: str
) -> None:
    answers = [inside.run(ask(prompt, by_name.trust(), "127.0.0.1")) for _ in range(2)]
    assert [said(answer) for answer in answers] == ["miss", "hit"]
    assert provider.count(host=HOST) == 1


@pytest.mark.parametrize("name", ["unknown.example", None])
def test_hosts_mode_closes_what_names_no_provider(
    by_name: RunningProxy, provider: Providers, inside: LoopThread, prompt: str, name: str | None
) -> None:
    with pytest.raises((ssl.SSLError, ConnectionError)):
        inside.run(ask(prompt, nameless(by_name.trust()), "127.0.0.1", name))
    (event,) = by_name.logged("connection_closed")
    assert event["reason"] == ("unknown_server_name" if name else "no_server_name")
    assert provider.count() == 0


def test_hosts_mode_closes_plain_http(by_name: RunningProxy, provider: Providers, inside: LoopThread) -> None:
    async def attempt() -> bytes:
        async with await connect(443) as client:
            client.send(b"GET / HTTP/1.1\r\nhost: api.openai.com\r\n\r\n")
            return await client.read_all()

    assert inside.run(attempt()) == b""
    assert provider.count() == 0


def test_hosts_mode_asks_dns_and_not_the_hosts_file(
    pod: Namespace, provider: Providers, authority: Certificates, inside: LoopThread, tmp_path: Path, prompt: str
) -> None:
    pod.firewall(ORIGIN.format(port=provider.port))
    settings = merged({"upstream": {"extra_ca": [str(authority.ca)]}}, listening("hosts", "127.0.0.1:443"))

    async def call_with_dns() -> tuple[Answer, list[str]]:
        async with dns({HOST: "192.0.2.10"}) as asked:
            return await ask(prompt, trust, "127.0.0.1"), asked

    with proxy_in(pod, tmp_path / "proxy", settings) as proxy:
        trust = proxy.trust()
        answer, asked = inside.run(call_with_dns(), 30)
    assert (answer.status, said(answer)) == (200, "miss")
    assert HOST in asked
    assert provider.count(host=HOST) == 1


@pytest.mark.parametrize("address", ["192.0.2.10", "2001:db8::10"])
def test_transparent_mode_intercepts_what_the_kernel_redirects(
    redirected: RunningProxy, provider: Providers, inside: LoopThread, prompt: str, address: str
) -> None:
    answers = [inside.run(ask(prompt, redirected.trust(), address, mark=MARK)) for _ in range(2)]
    assert [said(answer) for answer in answers] == ["miss", "hit"]
    assert provider.count(host=HOST) == 1


def test_transparent_mode_works_in_several_workers(
    pod: Namespace,
    provider: Providers,
    authority: Certificates,
    inside: LoopThread,
    tmp_path: Path,
    prompt: str,
) -> None:
    pod.firewall(REDIRECT)
    listeners = listening("transparent", "127.0.0.1:15001", "[::1]:15001")
    settings = merged(towards(provider, authority), {"workers": 2, **listeners})
    with proxy_in(pod, tmp_path / "proxy", settings) as proxy:
        for number, address in enumerate(["192.0.2.10", "2001:db8::10"] * 6):
            answer = inside.run(ask(f"{prompt} {number}", proxy.trust(), address, mark=MARK))
            assert (answer.status, said(answer)) == (200, "miss")
    assert provider.count(host=HOST) == 12


@pytest.mark.parametrize("address", ["192.0.2.10", "2001:db8::10"])
def test_transparent_mode_tunnels_others_to_where_they_were_going(
    redirected: RunningProxy, inside: LoopThread, tmp_path: Path, address: str
) -> None:
    certified = TestCa(tmp_path)

    async def talk() -> bytes:
        context = ssl.create_default_context(cafile=str(certified.root))
        async with (
            origin(echo, certified.context("other.example"), address, 443),
            await connect(443, address, mark=MARK) as client,
        ):
            await client.start_tls(context, "other.example")
            client.send(b"hello")
            return await client.read()

    assert inside.run(talk()) == b"hello"


@pytest.mark.parametrize("gone", ["client", "origin"])
def test_a_relay_ends_when_one_side_has_vanished(
    pod: Namespace, provider: Providers, authority: Certificates, inside: LoopThread, tmp_path: Path, gone: str
) -> None:
    """Vanished: none of its packets come any more, not even a FIN."""
    pod.firewall(REDIRECT)
    modes = listening("transparent", "127.0.0.1:15001", "[::1]:15001")
    settings = merged(towards(provider, authority), modes | {"limits": {"dead_peer_s": 2}})
    ended = asyncio.Event()

    async def until_it_ends(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(await reader.read(4))
        with contextlib.suppress(OSError):
            await reader.read()
        ended.set()

    async def talk() -> None:
        async with (
            origin(until_it_ends, None, "192.0.2.10", 8443),
            await connect(8443, "192.0.2.10", mark=MARK) as client,
        ):
            client.send(b"\0\1\2\3")
            assert await client.read() == b"\0\1\2\3"
            pod.firewall(
                SILENCE.format(side=f"meta mark {MARK}" if gone == "client" else "tcp sport 8443 ip saddr 192.0.2.10")
            )
            if gone == "client":
                await ended.wait()
            else:
                with contextlib.suppress(ConnectionError):
                    assert await client.read() == b""

    with proxy_in(pod, tmp_path / "proxy", settings):
        inside.run(talk(), 30)


def test_transparent_mode_passes_what_is_no_tls(redirected: RunningProxy, inside: LoopThread) -> None:
    async def talk() -> bytes:
        async with origin(echo, None, "192.0.2.10", 8443), await connect(8443, "192.0.2.10", mark=MARK) as client:
            client.send(b"\0\1\2\3\4\5\6\7")
            return await client.read()

    assert inside.run(talk()) == b"\0\1\2\3\4\5\6\7"


def test_what_nobody_redirected_is_closed_and_not_led_to_ourselves(
    redirected: RunningProxy, inside: LoopThread
) -> None:
    async def talk(host: str) -> bytes:
        async with await connect(15001, host) as client:
            client.send(b"\0\1\2\3\4\5\6\7")
            with contextlib.suppress(ConnectionError):
                return await client.read_all()
            return b""

    assert [inside.run(talk(host)) for host in ("127.0.0.1", "::1")] == [b"", b""]
    assert {event["reason"] for event in redirected.logged("connection_closed", 2)} == {"not_redirected"}


@pytest.mark.parametrize(
    ("listener", "address"),
    [("127.0.0.1:15001", "127.0.0.1"), ("0.0.0.0:15001", "192.0.2.10"), ("[::]:15001", "2001:db8::10")],
)
def test_who_comes_to_the_transparent_listener_by_itself_is_not_led_back_to_it(
    pod: Namespace, inside: LoopThread, tmp_path: Path, listener: str, address: str
) -> None:
    pod.firewall(REDIRECT)

    async def talk() -> bytes:
        async with await connect(15001, address) as client:
            client.send(b"\0\1\2\3\4\5\6\7")
            return await client.read_all()

    with proxy_in(pod, tmp_path / "proxy", listening("transparent", listener)) as proxy:
        assert inside.run(talk()) == b""
        (event,) = proxy.logged("connection_closed")
    assert event["reason"] == "not_redirected"


def test_a_stopped_proxy_leaves_redirected_clients_without_an_answer(
    redirected: RunningProxy, provider: Providers, inside: LoopThread, prompt: str
) -> None:
    assert redirected.stop() == 0
    with pytest.raises(ConnectionError):
        inside.run(ask(prompt, redirected.trust(), "192.0.2.10", mark=MARK))
    assert provider.count() == 0
