"""docs/kubernetes.md, from zero to the first metered call: its pod, applied in each mode, and its commands, run in it.

Changed are only the image, which is this machine's, and the roots, which are the simulated providers'.
"""

import shlex
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from subprocess import CompletedProcess

import pytest
import yaml

from config.injector import MODES
from tests.docs.markdown import blocks
from tests.kubernetes.conftest import Applied, Apply
from tests.kubernetes.ledger import settled
from tests.kubernetes.pods import EXTRA_CA, admitted

GUIDE = "kubernetes.md"
SKINFLINT = str(Path(sys.prefix, "bin", "skinflint"))


def first() -> dict:
    """The guide's first pod."""
    (found,) = [
        pod
        for block in blocks(GUIDE, "yaml")
        if (pod := yaml.safe_load(block.text)).get("metadata", {}).get("name") == "first"
    ]
    return found


def executed(container: str) -> list[list[str]]:
    """What the guide runs by `kubectl exec` in this container of it, in order, up to the pipe."""
    lines = [line for block in blocks(GUIDE, "sh") for line in logical(block.text)]
    found = [line.partition(f"exec first --container {container} -- ")[2] for line in lines]
    return [shlex.split(each.partition(" | ")[0]) for each in found if each]


def logical(text: str) -> list[str]:
    """Lines, those that go on in the next one joined."""
    return text.replace("\\\n", "").splitlines()


@dataclass(frozen=True, slots=True)
class Tried:
    """The pod, and what the guide's call said both times."""

    applied: Applied
    answers: list[CompletedProcess[str]]


@pytest.fixture(scope="module", params=MODES)
def tried(request: pytest.FixtureRequest, apply: Apply) -> Iterator[Tried]:
    pod = first()
    pod["metadata"]["annotations"] = {"skinflint.dev/mode": request.param, "skinflint.dev/extra-ca-configmap": EXTRA_CA}
    pod["spec"]["containers"][0]["image"] = "app:1"
    pod["spec"]["securityContext"] = {"runAsUser": 2000}
    (call,) = executed("app")
    with apply(admitted(pod), secrets={"openai": {"key": "sk-test"}}) as running:
        yield Tried(running, [running.pod.exec("app", *call) for _ in range(2)])


def test_the_same_call_twice_is_paid_once(tried: Tried) -> None:
    assert [each.stderr for each in tried.answers] == ["", ""]
    said = [each.stdout.lower() for each in tried.answers]
    assert "x-skinflint-cache: miss" in said[0]
    assert "x-skinflint-cache: hit" in said[1]
    assert [row["outcome"] for row in settled(tried.applied.pod, 2, operation="embeddings")] == ["miss", "hit"]


def test_commands_in_the_sidecar_say_what_happened(tried: Tried) -> None:
    settled(tried.applied.pod, 2)
    commands = executed("skinflint")
    assert len(commands) >= 3
    for program, *arguments in commands:
        assert program == "skinflint"
        done = tried.applied.pod.exec("skinflint", SKINFLINT, *arguments)
        assert done.returncode == 0, done.stdout + done.stderr
        if arguments[-2:] == ["--by", "model"]:
            assert "text-embedding-3-small" in done.stdout
