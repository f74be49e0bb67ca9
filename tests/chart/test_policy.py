"""The admission policy's expressions, evaluated: which pods carry the sidecar, and which need not."""

import re
from collections.abc import Mapping

import cel
import pytest

from proxy.injector import names
from tests.chart.helm import Object, Rendered
from tests.injector.pods import patched, plan, pod


def holds(expression: str, document: Object) -> bool:
    """What an API server would find."""
    found = cel.evaluate(expression, {"object": document})
    assert isinstance(found, bool)
    return found


@pytest.fixture
def policy(renderings: dict[str, Rendered]) -> Object:
    """The policy's spec."""
    spec: Object = renderings["policy"].one("ValidatingAdmissionPolicy")["spec"]
    return spec


@pytest.mark.parametrize("mode", ["hosts", "env", "redirect"])
def test_every_pod_that_the_injector_made_carries_the_sidecar(policy: Object, mode: str) -> None:
    assert holds(policy["validations"][0]["expression"], patched(pod(), plan(mode=mode)))


@pytest.mark.parametrize(
    "spec",
    [
        {},
        {"initContainers": []},
        {"initContainers": [{"name": "other", "restartPolicy": "Always"}]},
        {"initContainers": [{"name": names.SIDECAR}]},
        {"initContainers": [{"name": names.SIDECAR, "restartPolicy": "OnFailure"}]},
        {"hostNetwork": True},
    ],
)
def test_a_pod_without_the_sidecar_is_noticed(policy: Object, spec: Mapping[str, object]) -> None:
    assert not holds(policy["validations"][0]["expression"], pod(**spec))


def test_static_pods_alone_are_not_looked_at(policy: Object) -> None:
    (condition,) = policy["matchConditions"]
    assert holds(condition["expression"], pod())
    assert holds(condition["expression"], pod(annotations={"a": "b"}))
    assert not holds(condition["expression"], pod(annotations={"kubernetes.io/config.mirror": "x"}))


def test_the_message_says_what_to_do(policy: Object) -> None:
    message = policy["validations"][0]["message"]
    assert "\n" not in message
    assert f'{names.INJECT_LABEL}: "false"' in message


def test_more_conditions_are_added(renderings: dict[str, Rendered]) -> None:
    conditions = renderings["policy with conditions"].one("ValidatingAdmissionPolicy")["spec"]["matchConditions"]
    assert [each["name"] for each in conditions] == ["no-static-pod", "no-robots"]
    assert all(re.fullmatch(r"[-A-Za-z0-9_.]+", each["name"]) for each in conditions)
