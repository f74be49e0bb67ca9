"""Mode `env`, applied: variables lead clients to the sidecar, and those that do not read them go past it."""

import socket
from collections.abc import Iterator

import pytest

from tests.kubernetes.clients import ANY_HOST, OWN_HOST
from tests.kubernetes.conftest import Applied, Apply
from tests.kubernetes.internet import IPV4_ALONE, IPV6_ALONE, WEBSITE
from tests.kubernetes.network import POD_4, POD_6
from tests.kubernetes.pods import APP, admitted, application
from tests.kubernetes.variables import SERVICES
from tests.support.background import LoopThread

PASSING = ("python aiohttp", "python urllib3")  # they look at no variable that names a proxy
OWN = {
    "name": "own",
    "image": "app:1",
    "env": [
        {"name": "https_proxy", "value": "http://proxy.example.test:3128"},
        {"name": "REQUESTS_CA_BUNDLE", "value": "/etc/ssl/certs/ca-certificates.crt"},
    ],
}


@pytest.fixture(scope="module")
def made(apply: Apply) -> Iterator[Applied]:
    with apply(admitted(application("env", {"name": APP, "image": "app:1"}, OWN))) as running:
        yield running


@pytest.mark.parametrize(
    ("client", "host"),
    [
        *OWN_HOST.items(),
        *((client, host) for client in ANY_HOST if client not in PASSING for host in (IPV4_ALONE, IPV6_ALONE)),
    ],
)
def test_a_client_is_answered_again_by_the_sidecar(made: Applied, prompt: str, client: str, host: str) -> None:
    made.answers_again(client, host, prompt)


@pytest.mark.parametrize("client", PASSING)
def test_who_reads_no_proxy_variable_goes_past_the_sidecar_and_still_works(
    made: Applied, prompt: str, client: str
) -> None:
    answers = made.clients.ask(client, IPV4_ALONE, prompt)
    assert [(each.status, each.cache) for each in answers] == [(200, ""), (200, "")]
    assert made.asked(prompt) == 2


def test_other_hosts_keep_their_own_certificate(made: Applied) -> None:
    """The proxy leads there without looking in: our root alone is not enough."""
    root = ["--cacert", "/etc/skinflint/trust/skinflint-ca.pem"]
    command = ["curl", "-sS", "-m", "20", "-o", "/dev/null", "-w", "%{http_connect} %{http_code}"]
    assert made.pod.exec(APP, *command, f"https://{WEBSITE}/").stdout == "200 200"
    assert made.pod.exec(APP, *command, *root, f"https://{WEBSITE}/").returncode == 60


def test_the_clusters_own_api_is_excepted_by_its_address(made: Applied) -> None:
    told = _variables(made, APP)
    assert SERVICES["KUBERNETES_SERVICE_HOST"] in told["NO_PROXY"].split(",")
    assert "$(" not in told["NO_PROXY"]


def test_variables_that_a_container_sets_are_its_own(made: Applied) -> None:
    """Who has a proxy gets no other, in whatever spelling, and still what makes it trust us."""
    told = _variables(made, "own")
    assert told["https_proxy"] == "http://proxy.example.test:3128"
    assert told["REQUESTS_CA_BUNDLE"] == "/etc/ssl/certs/ca-certificates.crt"
    assert not told.keys() & {"HTTPS_PROXY", "http_proxy", "NODE_USE_ENV_PROXY"}
    assert told["SSL_CERT_FILE"] == "/etc/skinflint/trust/bundle.pem"
    assert "proxyHost" not in told["JAVA_TOOL_OPTIONS"]


@pytest.mark.parametrize("address", [POD_4, POD_6])
def test_nobody_outside_the_pod_can_use_the_proxy(made: Applied, address: str) -> None:
    outside: LoopThread = made.internet.thread
    with pytest.raises(ConnectionRefusedError):
        outside.call(lambda: socket.create_connection((address, 19180), timeout=5))


def _variables(made: Applied, container: str) -> dict[str, str]:
    done = made.pod.exec(container, "env", "-0")
    return dict(each.split("=", 1) for each in done.stdout.split("\0") if each)
