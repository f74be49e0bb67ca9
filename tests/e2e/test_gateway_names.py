"""Names that a stranger's DNS leads into the gateway's own network: allowed as names, refused as what they are.

In a network namespace with a name server that says what the test wants. The victim listens on every address there; it
must never be reached.
"""

import ssl
from collections.abc import Coroutine, Iterator
from pathlib import Path

import pytest

from proxy.demo.certificates import Certificates
from tests.e2e.gateway_calls import connect_to
from tests.support.background import LoopThread
from tests.support.dns import dns
from tests.support.netns import Namespace, lacking, namespace
from tests.support.origins import origin
from tests.support.raw_client import Answer, chat, connect, post, request
from tests.support.running import RunningProxy, merged, running_proxy

pytestmark = pytest.mark.skipif(bool(lacking()), reason=lacking() or "namespaces can be made")

PUBLIC = "93.184.216.34"
EVIL = "evil.openai.azure.com"  # a provider by its name, as anybody's resource would be
ADDRESSES = ("169.254.169.254", "127.0.0.1", "::ffff:10.0.0.1", "10.0.0.1", "fd00::1", "100.100.100.200", "0.0.0.0")


@pytest.fixture(scope="module")
def pod() -> Iterator[Namespace]:
    """The gateway's pod."""
    with namespace("gw", {"hosts": "127.0.0.1 localhost\n", "resolv.conf": "nameserver 127.0.0.1\n"}) as made:
        for address in (PUBLIC, "169.254.169.254", "10.0.0.1", "100.100.100.200"):
            made.run("ip", "addr", "add", f"{address}/32", "dev", "lo")
        made.run("ip", "-6", "addr", "add", "fd00::1/128", "dev", "lo", "nodad")
        yield made


@pytest.fixture(scope="module")
def inside(pod: Namespace) -> Iterator[LoopThread]:
    thread = LoopThread("gw", pod.file)
    yield thread
    thread.close()


def started(
    pod: Namespace, directory: Path, settings: dict[str, object], authority: Certificates
) -> Iterator[RunningProxy]:
    base = {"profile": "gateway", "upstream": {"extra_ca": [str(authority.ca)], "connect_timeout_s": 3.0, "retries": 0}}
    with running_proxy(directory, merged(base, settings), prefix=pod.command()) as proxy:
        yield proxy


@pytest.fixture(scope="module")
def gateway(
    pod: Namespace, authority: Certificates, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunningProxy]:
    """Providers, and names of one domain."""
    settings: dict[str, object] = {"destinations": {"allow": ["providers", "*.evil.test:443", "*.evil.test:80"]}}
    yield from started(pod, tmp_path_factory.mktemp("gateway"), settings, authority)


REDIRECT = """
table ip gw {
  chain out {
    type nat hook output priority -100;
    meta mark 7 tcp dport 443 redirect to :15001
  }
}
"""


class Victim:
    """Counts who comes."""

    def __init__(self) -> None:
        self.met = 0

    async def serve(self, reader: object, writer: object) -> None:
        self.met += 1


async def among[T](records: dict[str, str], victim: Victim, doing: Coroutine[object, object, T]) -> T:
    """With a name server that knows these, and the victim on the ports of HTTP and HTTPS."""
    async with dns(records), origin(victim.serve, host="", port=443), origin(victim.serve, host="", port=80):
        return await doing


async def tunnelled(port: int, target: str) -> bytes:
    async with await connect(port) as client:
        head = await connect_to(client, target)
        return head if head.startswith(b"HTTP/1.1 200") else head + await client.read_all()


async def asked(port: int, trust: ssl.SSLContext, *fields: tuple[str, str]) -> Answer:
    async with await connect(port) as client:
        assert (await connect_to(client, f"{EVIL}:443")).startswith(b"HTTP/1.1 200")
        await client.start_tls(trust, EVIL)
        client.send(post(chat("x"), "/openai/deployments/x/chat/completions?api-version=1", *fields, host=EVIL))
        return await client.answer()


@pytest.mark.parametrize("address", ADDRESSES)
def test_a_tunnel_to_a_name_that_leads_inside_is_refused(
    gateway: RunningProxy, inside: LoopThread, address: str
) -> None:
    victim = Victim()
    answer = inside.run(among({"a.evil.test": address}, victim, tunnelled(gateway.port(), "a.evil.test:443")))
    assert answer.startswith(b"HTTP/1.1 403 ")
    assert b"error=destination_ip_prohibited" in answer
    assert victim.met == 0


@pytest.mark.parametrize("address", ADDRESSES)
def test_a_call_to_a_providers_name_that_leads_inside_is_refused(
    gateway: RunningProxy, inside: LoopThread, address: str
) -> None:
    victim = Victim()
    answer = inside.run(among({EVIL: address}, victim, asked(gateway.port(), gateway.trust())))
    assert (answer.status, victim.met) == (403, 0)
    assert answer.header("proxy-status") == "skinflint; error=destination_ip_prohibited"


def test_an_upgrade_is_refused_too(gateway: RunningProxy, inside: LoopThread) -> None:
    victim = Victim()
    fields = [("connection", "upgrade"), ("upgrade", "websocket"), ("sec-websocket-key", "eA=="), ("host", EVIL)]

    async def upgrade() -> Answer:
        async with await connect(gateway.port()) as client:
            assert (await connect_to(client, f"{EVIL}:443")).startswith(b"HTTP/1.1 200")
            await client.start_tls(gateway.trust(), EVIL)
            client.send(request("GET", "/openai/realtime?api-version=1", None, fields[:3], host=EVIL))
            return await client.answer()

    answer = inside.run(among({EVIL: "169.254.169.254"}, victim, upgrade()))
    assert (answer.status, victim.met) == (403, 0)


@pytest.mark.parametrize("address", ["169.254.169.254", "::ffff:10.0.0.1"])
def test_a_plain_request_is_refused_too(gateway: RunningProxy, inside: LoopThread, address: str) -> None:
    victim = Victim()

    async def plain() -> Answer:
        async with await connect(gateway.port()) as client:
            client.send(request("GET", "http://a.evil.test/latest/meta-data/", host="a.evil.test"))
            return await client.answer()

    answer = inside.run(among({"a.evil.test": address}, victim, plain()))
    assert (answer.status, victim.met) == (403, 0)
    assert answer.header("proxy-status") == "skinflint; error=destination_ip_prohibited"


def test_a_name_that_changes_its_mind_is_judged_again(gateway: RunningProxy, inside: LoopThread) -> None:
    victim = Victim()
    records = {"b.evil.test": PUBLIC}

    async def twice() -> tuple[bytes, bytes]:
        first = await tunnelled(gateway.port(), "b.evil.test:443")
        records["b.evil.test"] = "127.0.0.1"
        return first, await tunnelled(gateway.port(), "b.evil.test:443")

    first, second = inside.run(among(records, victim, twice()))
    assert first.startswith(b"HTTP/1.1 200 ")
    assert second.startswith(b"HTTP/1.1 403 ")
    assert victim.met == 1


def test_hosts_mode_judges_what_dns_says(
    pod: Namespace, inside: LoopThread, authority: Certificates, tmp_path: Path
) -> None:
    settings: dict[str, object] = {"listeners": [{"address": "127.0.0.1:1443", "mode": "hosts"}]}
    victim = Victim()
    for proxy in started(pod, tmp_path / "proxy", settings, authority):

        async def call(port: int, trust: ssl.SSLContext) -> Answer:
            async with await connect(port) as client:
                await client.start_tls(trust, EVIL)
                client.send(post(chat("x"), "/openai/deployments/x/chat/completions?api-version=1", host=EVIL))
                return await client.answer()

        answer = inside.run(among({EVIL: "169.254.169.254"}, victim, call(proxy.port("hosts"), proxy.trust())))
        assert (answer.status, victim.met) == (403, 0)


def test_redirected_connections_to_other_hosts_are_closed(
    pod: Namespace, inside: LoopThread, authority: Certificates, tmp_path: Path
) -> None:
    settings: dict[str, object] = {"listeners": [{"address": "127.0.0.1:15001", "mode": "transparent"}]}
    victim = Victim()
    pod.firewall(REDIRECT)
    try:
        for proxy in started(pod, tmp_path / "proxy", settings, authority):

            async def call(name: str) -> None:
                async with await connect(443, PUBLIC, mark=7) as client:
                    early = client.client_hello(ssl.create_default_context(), name)
                    client.send_raw(early)
                    with pytest.raises(ConnectionError):
                        await client.finish_handshake()

            inside.run(among({}, victim, call("a.evil.test")))
            assert victim.met == 0
            assert proxy.logged("refused")[0]["reason"] == "destination"
    finally:
        pod.firewall("delete table ip gw")
