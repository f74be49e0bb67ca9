"""Containers that do not trust the sidecar, in modes that lead a whole pod to it: excluded ones, and ones with roots of
their own. They get on, and take nobody else along.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.kubernetes.clients import TRUSTED, Clients
from tests.kubernetes.conftest import Applied, Apply
from tests.kubernetes.internet import BOTH
from tests.kubernetes.pods import APP, EXTRA_CA, admitted, application

OTHER = {
    "name": "other",
    "image": "app:1",
    "env": [{"name": "SSL_CERT_FILE", "value": "/mine/ca.crt"}],
    "volumeMounts": [{"name": "mine", "mountPath": "/mine", "readOnly": True}],
}
MINE = {"name": "mine", "configMap": {"name": EXTRA_CA}}


@pytest.fixture(scope="module", params=["hosts", "redirect"])
def made(apply: Apply, request: pytest.FixtureRequest) -> Iterator[Applied]:
    excluded = {"skinflint.dev/exclude-containers": "other"}
    pod = application(request.param, {"name": APP, "image": "app:1"}, OTHER, annotations=excluded, volumes=[MINE])
    with apply(admitted(pod)) as running:
        yield running


@pytest.fixture
def other(made: Applied, programs: Path, tmp_path: Path) -> Clients:
    """Clients of the other container; none that goes on."""
    return Clients(made.pod, programs, tmp_path, "other")


def test_it_is_refused_once_and_then_passed_through(made: Applied, other: Clients, prompt: str) -> None:
    with pytest.raises(AssertionError, match="certificate signed by unknown authority"):
        other.ask("go", BOTH, prompt)
    answers = other.ask("go", BOTH, prompt)
    assert [(each.status, each.cache) for each in answers] == [(200, ""), (200, "")]
    assert made.asked(prompt) == 2


def test_a_client_of_its_kind_that_trusts_the_sidecar_is_not_let_past(
    made: Applied, other: Clients, prompt: str
) -> None:
    """All containers of a pod call from one address."""
    assert [each.cache for each in made.clients.ask("curl", BOTH, prompt)] == ["miss", "hit"]
    (judgement,) = other.judge("curl", [f"https://{BOTH}/"])
    assert judgement != TRUSTED
    assert [each.cache for each in made.clients.ask("curl", BOTH, prompt)] == ["hit", "hit"]
    assert made.asked(prompt) == 1
