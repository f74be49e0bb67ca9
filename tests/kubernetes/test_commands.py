"""What operators run in a sidecar (`kubectl exec -c skinflint -- skinflint …`): as its user, on its read-only root."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.kubernetes.conftest import Applied, Apply
from tests.kubernetes.internet import BOTH
from tests.kubernetes.ledger import settled
from tests.kubernetes.pods import SIDECAR, admitted, application

SKINFLINT = str(Path(sys.prefix, "bin", "skinflint"))
SEVERAL = {"workers": 2, "ledger": {"flush_s": 0.05}}


@pytest.fixture(scope="module")
def made(apply: Apply) -> Iterator[Applied]:
    """With several workers, whose sockets and shared memory need places of their own."""
    with apply(admitted(application("hosts"), settings=SEVERAL)) as running:
        yield running


def test_calls_are_answered_by_several_workers(made: Applied, prompt: str) -> None:
    answers = made.clients.ask("curl", BOTH, prompt)
    assert [each.cache for each in answers] == ["miss", "hit"]


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("report --by label:workload --format json", "Deployment/web"),
        ("cache stats", "workers[1].ready"),
        ("cache ls", "openai"),  # with the token in the data directory
        ("check-config", "attribution.labels.pod"),
        ("ca show", "api.openai.com"),
    ],
)
def test_a_command_finds_what_it_needs(made: Applied, prompt: str, command: str, said: str) -> None:
    made.clients.ask("curl", BOTH, prompt)
    settled(made.pod, 2)
    done = made.pod.exec(SIDECAR, SKINFLINT, *command.split())
    assert done.returncode == 0, done.stderr
    assert said in done.stdout
