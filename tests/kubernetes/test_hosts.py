"""Mode `hosts`, applied: the hosts file leads every client to the sidecar, whatever it was written in."""

from collections.abc import Iterator

import orjson
import pytest

from tests.kubernetes.clients import ANY_HOST, OWN_HOST
from tests.kubernetes.conftest import Applied, Apply
from tests.kubernetes.internet import BOTH, IPV4_ALONE, IPV6_ALONE, WEBSITE
from tests.kubernetes.ledger import settled
from tests.kubernetes.pods import APP, NAME, NAMESPACE, NODE, SIDECAR, admitted, application

KEY = ["-H", "authorization: Bearer sk-test"]
MODELS = ["curl", "-fsS", "-m", "20", *KEY, "https://api.mistral.ai/v1/models"]
MIGRATE = {"name": "migrate", "image": "app:1", "command": MODELS}


@pytest.fixture(scope="module")
def made(apply: Apply) -> Iterator[Applied]:
    with apply(admitted(application("hosts", initContainers=[MIGRATE]))) as running:
        yield running


@pytest.mark.parametrize(("client", "host"), [*OWN_HOST.items(), *((client, BOTH) for client in ANY_HOST)])
def test_a_client_is_answered_again_by_the_sidecar(made: Applied, prompt: str, client: str, host: str) -> None:
    made.answers_again(client, host, prompt)


@pytest.mark.parametrize("host", [IPV4_ALONE, IPV6_ALONE])
def test_the_sidecar_finds_providers_of_either_family(made: Applied, prompt: str, host: str) -> None:
    answers = made.clients.ask("curl", host, prompt)
    assert [each.cache for each in answers] == ["miss", "hit"]
    assert made.asked(prompt) == 1


@pytest.mark.parametrize("family", ["-4", "-6"])
def test_clients_reach_the_sidecar_over_either_family(made: Applied, family: str) -> None:
    command = ["curl", family, "-sS", "-m", "20", "-o", "/dev/null", "-w", "%{remote_ip} %{http_code}", *KEY]
    done = made.pod.exec(APP, *command, f"https://{BOTH}/v1/models")
    assert done.stdout == {"-4": "127.0.0.1 200", "-6": "::1 200"}[family], done.stderr


def test_init_containers_are_served_as_well(made: Applied) -> None:
    """It was run to its end before the application, after the sidecar was up."""
    assert made.internet.provider.count(host="api.mistral.ai") == 1
    assert len(settled(made.pod, 1, provider="mistral", operation="models")) == 1


def test_other_hosts_never_come_to_the_sidecar(made: Applied) -> None:
    done = made.pod.exec(APP, "curl", "-sS", "-m", "20", "-w", "\n%{remote_ip}", f"https://{WEBSITE}/somewhere")
    body, _, address = done.stdout.rpartition("\n")
    assert orjson.loads(body)["target"] == "/somewhere"
    assert address not in ("127.0.0.1", "::1")
    assert WEBSITE not in made.pod.process(SIDECAR).output


def test_every_row_says_pod_namespace_node_workload_and_the_chosen_labels(made: Applied, prompt: str) -> None:
    made.clients.ask("curl", BOTH, prompt)
    labels = {"pod": NAME, "namespace": NAMESPACE, "node": NODE, "workload": "Deployment/web", "team": "search"}
    for outcome in ("miss", "hit"):
        rows = settled(made.pod, 1, operation="chat", outcome=outcome)
        assert all(row["labels"] == labels for row in rows)
