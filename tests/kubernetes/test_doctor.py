"""`skinflint doctor` in an applied pod's sidecar, and over its manifest."""

import sys
from collections.abc import Iterator
from pathlib import Path

import orjson
import pytest

from config.injector import InjectorSettings
from proxy.cli.checkup import Level
from proxy.cli.pod.manifest import Described
from proxy.cli.pod.manifest_checkup import check
from proxy.injector.known import plan_for
from tests.kubernetes.conftest import Applied, Apply
from tests.kubernetes.internet import BOTH
from tests.kubernetes.pods import NAME, NAMESPACE, NODE, SIDECAR, admitted, application

SKINFLINT = str(Path(sys.prefix, "bin", "skinflint"))
MODES = ("hosts", "env", "redirect")


@pytest.fixture(scope="module", params=MODES)
def mode(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def made(apply: Apply, mode: str) -> Iterator[Applied]:
    with apply(admitted(application(mode))) as running:
        yield running


def doctor(made: Applied) -> tuple[int, dict[tuple[str, str], str]]:
    """Its exit status, and what it found: by subject and level."""
    done = made.pod.exec(SIDECAR, SKINFLINT, "doctor", "--format", "json")
    assert done.stdout, done.stderr
    return done.returncode, {(each["subject"], each["level"]): each["message"] for each in orjson.loads(done.stdout)}


def test_in_the_sidecar_nothing_is_broken(made: Applied, mode: str, prompt: str) -> None:
    before = doctor(made)[1]
    made.clients.ask("curl", BOTH, prompt)
    status, found = doctor(made)
    assert (status, [each for each in found if each[1] == "fail"]) == (0, [])
    assert found["mode", "ok"].startswith(mode)
    assert found["connections", "ok"].endswith("intercepted so far")
    assert found["trust files", "ok"]
    assert f"pod={NAME}" in found["labels", "ok"]
    assert f"namespace={NAMESPACE}" in found["labels", "ok"]
    assert f"node={NODE}" in found["labels", "ok"]
    assert ("authority", "warn") not in found  # its key is in memory
    if mode == "redirect":
        assert "no connection to a provider" in before["way", "note"]
        assert "the redirect is in place" in found["way", "ok"]


@pytest.mark.parametrize("wanted", MODES)
def test_over_its_manifest_nothing_is_broken(wanted: str) -> None:
    plan = plan_for(InjectorSettings(image="another"), Path("injector.yaml"))
    findings = check(Described("web", NAMESPACE, admitted(application(wanted))), plan, has_settings=False)
    assert {each.level for each in findings} <= {Level.OK, Level.NOTE}
    assert f"in mode {wanted}" in findings[0].message
