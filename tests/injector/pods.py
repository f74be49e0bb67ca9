"""Pods for the injector's tests, and what becomes of them."""

import copy
from collections.abc import Mapping
from pathlib import Path

import jsonpatch
import kubernetes_validate
import yaml

from config.injector import InjectorSettings
from proxy.injector.document import Object
from proxy.injector.patch import Injected, Plan, Refused, inject

GOLDEN = Path(__file__).with_name("golden")
HOSTS = ("api.openai.com", "api.anthropic.com")
VERSION = "1.2.3"
KUBERNETES = ("1.32", "1.37")  # the schemas' oldest and newest


def plan(**settings: object) -> Plan:
    """A plan with these settings."""
    return Plan(InjectorSettings.model_validate({"image": "skinflint:1", **settings}), HOSTS, VERSION)


def pod(
    *containers: Mapping[str, object],
    annotations: Mapping[str, str] | None = None,
    metadata: Mapping[str, object] | None = None,
    **spec: object,
) -> Object:
    """A pod of one container, `app`, unless told otherwise."""
    made = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "web", **(metadata or {}), **({"annotations": dict(annotations)} if annotations else {})},
        "spec": {"containers": [dict(each) for each in containers] or [{"name": "app", "image": "app:1"}], **spec},
    }
    return copy.deepcopy(made)  # type: ignore[arg-type]


def injected(document: Object, made: Plan | None = None, namespace: str = "shop") -> Injected:
    """The decision, which must be to inject."""
    decision = inject(document, namespace, made or plan())
    assert isinstance(decision, Injected), decision
    return decision


def refusal(document: Object, made: Plan | None = None) -> str:
    """Why the pod is refused."""
    decision = inject(document, "shop", made or plan())
    assert isinstance(decision, Refused), decision
    return decision.message


def patched(document: Object, made: Plan | None = None) -> dict:
    """The pod as it will be, which Kubernetes' own schemas accept."""
    result: dict = jsonpatch.apply_patch(copy.deepcopy(document), list(injected(document, made).operations))
    for version in KUBERNETES:
        kubernetes_validate.validate(result, version, strict=True)
    return result


def variables(container: Mapping[str, object]) -> dict[str, str]:
    """The variables of a container that have a value."""
    entries: list[dict[str, str]] = container.get("env", [])  # type: ignore[assignment]
    return {each["name"]: each["value"] for each in entries if "value" in each}


def golden(name: str) -> dict:
    """A case: `settings`, `pod`, and what is expected: `patch` and `warnings`."""
    case: dict = yaml.safe_load((GOLDEN / f"{name}.yaml").read_text("utf-8"))
    return case
