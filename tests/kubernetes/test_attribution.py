"""Whose a call was, as the ledger in the sidecar's volume says it."""

from collections.abc import Iterator

import pytest

from tests.kubernetes.conftest import Applied, Apply
from tests.kubernetes.internet import BOTH
from tests.kubernetes.ledger import settled
from tests.kubernetes.pods import NAME, NAMESPACE, NODE, admitted, application


@pytest.fixture(scope="module", params=["hosts"])
def made(apply: Apply, request: pytest.FixtureRequest) -> Iterator[Applied]:
    with apply(admitted(application(request.param))) as running:
        yield running


def test_every_row_says_pod_namespace_node_workload_and_the_chosen_labels(made: Applied, prompt: str) -> None:
    made.clients.ask("curl", BOTH, prompt)
    rows = settled(made.pod, 2, operation="chat")
    assert {row["outcome"] for row in rows} == {"miss", "hit"}
    for row in rows:
        assert row["labels"] == {
            "pod": NAME,
            "namespace": NAMESPACE,
            "node": NODE,
            "workload": "Deployment/web",
            "team": "search",
        }
