"""Mode `redirect`, applied: the kernel leads every connection to port 443 to the sidecar, but for its exceptions."""

import asyncio
import contextlib
import os
import sys
from collections.abc import Iterator

import orjson
import pytest

from proxy.injector.names import REDIRECT, TRUST_DIR, TRUST_VOLUME
from tests.kubernetes.clients import ANY_HOST, OWN_HOST, PROGRAMS
from tests.kubernetes.conftest import Applied, Apply
from tests.kubernetes.internet import BOTH, IPV4_ALONE, IPV6_ALONE, WEBSITE
from tests.kubernetes.network import EXCEPTED_4, EXCEPTED_6, INTERNET_4, INTERNET_6, METADATA
from tests.kubernetes.pods import APP, SIDECAR, admitted, application
from tests.support.origins import echo, origin

ROOT = {"name": "root", "image": "app:1", "securityContext": {"runAsUser": 0, "runAsGroup": 0}}
EXCEPTIONS = {"skinflint.dev/exclude-cidrs": f"{EXCEPTED_4}/32, {EXCEPTED_6}/128"}
REFUSED, BAD_CERTIFICATE = 7, 60  # what curl's exit status says
NO, YES = "not permitted, refused", "sent, hello"
PYTHON = os.path.realpath(sys.executable)


@pytest.fixture(scope="module")
def made(apply: Apply) -> Iterator[Applied]:
    pod = application("redirect", {"name": APP, "image": "app:1"}, ROOT, annotations=EXCEPTIONS)
    with apply(admitted(pod)) as running:
        yield running


@pytest.fixture(scope="module")
def udp(made: Applied) -> Iterator[None]:
    """Who answers datagrams on port 443 and another one."""
    places = [(host, 443) for host in (INTERNET_4, INTERNET_6, EXCEPTED_4, EXCEPTED_6)] + [(INTERNET_4, 8443)]
    stack = contextlib.ExitStack()

    async def listen() -> None:
        loop = asyncio.get_running_loop()
        for place in places:
            transport, _ = await loop.create_datagram_endpoint(_Echo, local_addr=place)
            stack.callback(transport.close)

    made.internet.thread.run(listen())
    yield
    made.internet.thread.call(stack.close)


class _Echo(asyncio.DatagramProtocol):
    def connection_made(self, transport: asyncio.DatagramTransport) -> None:  # type: ignore[override]
        self._transport = transport

    def datagram_received(self, data: bytes, address: tuple[str, int]) -> None:
        self._transport.sendto(data, address)


def is_intercepted(made: Applied, container: str, address: str, host: str = BOTH) -> bool:
    """Whether a call to this address is answered with a certificate of ours, or with the origin's own."""
    ours = ["--cacert", f"{TRUST_DIR}/skinflint-ca.pem", "--resolve", f"{host}:443:{address}"]
    done = made.pod.exec(container, "curl", "-sS", "-m", "20", "-o", "/dev/null", *ours, f"https://{host}/v1/models")
    assert done.returncode in (0, BAD_CERTIFICATE), done.stderr
    return done.returncode == 0


@pytest.mark.parametrize(
    ("client", "host"),
    [*OWN_HOST.items(), *((client, host) for client in ANY_HOST for host in (IPV4_ALONE, IPV6_ALONE))],
)
def test_a_client_is_answered_again_by_the_sidecar(made: Applied, prompt: str, client: str, host: str) -> None:
    made.answers_again(client, host, prompt)


@pytest.mark.parametrize("container", [APP, "root"])
@pytest.mark.parametrize("address", [INTERNET_4, f"[{INTERNET_6}]"])
def test_every_user_but_the_sidecars_is_redirected(made: Applied, container: str, address: str) -> None:
    assert is_intercepted(made, container, address)
    assert not is_intercepted(made, SIDECAR, address)


@pytest.mark.parametrize("address", [EXCEPTED_4, f"[{EXCEPTED_6}]", METADATA])
def test_excepted_networks_are_reached_directly(made: Applied, address: str) -> None:
    assert not is_intercepted(made, APP, address)


@pytest.mark.parametrize("address", [INTERNET_4, f"[{INTERNET_6}]"])
def test_other_hosts_keep_their_own_certificate(made: Applied, address: str) -> None:
    assert not is_intercepted(made, APP, address, WEBSITE)
    done = made.pod.exec(
        APP, "curl", "-sS", "-m", "20", "--resolve", f"{WEBSITE}:443:{address}", f"https://{WEBSITE}/x"
    )
    assert '"target":"/x"' in done.stdout, done.stderr


@pytest.mark.parametrize("address", [INTERNET_4, f"[{INTERNET_6}]"])
def test_who_names_no_server_is_passed_on_to_where_it_was_going(made: Applied, address: str) -> None:
    """As clients of the cluster's own API do, which know it by its address."""
    done = made.pod.exec(APP, "curl", "-sS", "--insecure", "-m", "20", f"https://{address}/x")
    assert orjson.loads(done.stdout)["host"] == address.strip("[]"), done.stderr


@pytest.mark.parametrize(
    ("container", "address", "port", "outcome"),
    [
        (APP, INTERNET_4, 443, NO),
        (APP, INTERNET_6, 443, NO),
        ("root", INTERNET_4, 443, NO),
        (APP, EXCEPTED_4, 443, YES),
        (APP, EXCEPTED_6, 443, YES),
        (APP, INTERNET_4, 8443, YES),
        (SIDECAR, INTERNET_4, 443, YES),
        (SIDECAR, INTERNET_6, 443, YES),
    ],
)
def test_quic_is_refused_at_once_so_that_clients_fall_back(
    made: Applied, udp: None, container: str, address: str, port: int, outcome: str
) -> None:
    done = made.pod.exec(container, PYTHON, "-", address, str(port), text_in=(PROGRAMS / "udp.py").read_text())
    assert done.stdout.strip() == outcome, done.stderr


def test_the_rules_can_be_written_again(made: Applied, prompt: str) -> None:
    """An init container may run a second time: when the node restarts, or the pod's sandbox does."""
    before = made.pod.network.pod.run("nft", "list", "ruleset")
    made.pod.run_to_end(REDIRECT)
    assert made.pod.network.pod.run("nft", "list", "ruleset") == before
    assert is_intercepted(made, APP, INTERNET_4)


def test_without_the_sidecar_nothing_goes_past_it_and_with_it_again_all_goes_on(made: Applied, prompt: str) -> None:
    ask = ["curl", "-sS", "-m", "20", f"https://{IPV4_ALONE}/v1/models", f"https://{IPV6_ALONE}/v1/models"]
    before = made.clients.ask("python httpx", IPV4_ALONE, prompt)
    root = (made.pod.volume(TRUST_VOLUME) / "skinflint-ca.pem").read_bytes()
    calls = made.internet.provider.count()
    assert made.pod.stop(SIDECAR) == 0
    try:
        for url in ask[-2:]:
            assert made.pod.exec(APP, *ask[:-2], url).returncode == REFUSED
        assert made.internet.provider.count() == calls
        assert _echoed(made, 8443) == "b'hello'"
    finally:
        made.pod.start(SIDECAR)
    assert (made.pod.volume(TRUST_VOLUME) / "skinflint-ca.pem").read_bytes() == root
    again, hit = made.clients.ask("python httpx", IPV4_ALONE, prompt)  # the same client: what it trusts has stayed
    assert (again.status, hit.status, hit.cache) == (200, 200, "hit")
    assert before[0].status == 200


def _echoed(made: Applied, port: int) -> str:
    """What a server on another port sends back to the application."""
    script = "import socket, sys; s = socket.create_connection(sys.argv[1:], 5); s.send(b'hello'); print(s.recv(9))"
    with made.internet.thread.within(origin(echo, None, INTERNET_4, port)):
        done = made.pod.exec(APP, PYTHON, "-c", script, INTERNET_4, str(port))
    return done.stdout.strip()
