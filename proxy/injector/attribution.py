"""Whose a sidecar's calls are: fixed labels (`attribution.labels.*`), most of them filled in by the kubelet.

The pod's name is often not known yet when it is admitted, and its node never is: the downward API tells both. Of owners
the kubelet tells nothing, so the workload is read from the pod: a Deployment stands behind a ReplicaSet whose name ends
with the template's hash, a CronJob behind a Job whose name ends with the minute it was due.
"""

import re
from collections.abc import Mapping
from typing import Final

from config.environment import variable_name
from proxy.injector import pod as pods
from proxy.injector.document import Object, section, sections, text

_FIELDS: Final = (("pod", "metadata.name"), ("namespace", "metadata.namespace"), ("node", "spec.nodeName"))
# The label that tells a template's hash, and what stands behind such a ReplicaSet.
_TEMPLATES: Final = (("pod-template-hash", "Deployment"), ("rollouts-pod-template-hash", "Rollout"))
_DUE: Final = re.compile(r"(?P<name>.+)-\d{8,10}")  # minutes since 1970; older clusters wrote seconds


def attribution(pod: Object, chosen: Mapping[str, str]) -> list[Object]:
    """Variables of the sidecar. `chosen`: more labels of calls, from the pod's labels."""
    paths = [*_FIELDS, *((label, f"metadata.labels['{name}']") for label, name in chosen.items())]
    told: list[Object] = [
        {"name": _variable(label), "valueFrom": {"fieldRef": {"apiVersion": "v1", "fieldPath": path}}}
        for label, path in paths
    ]
    if (owner := workload(pod)) and "workload" not in chosen:
        told.append({"name": _variable("workload"), "value": literal(owner)})
    return told


def workload(pod: Object) -> str:
    """`Deployment/web`: what made the pod, and was made by people. Empty for a pod that stands alone."""
    owners = sections(section(pod, "metadata"), "ownerReferences")
    owner = next((each for each in owners if each.get("controller") is True), None)
    if owner is None:
        return ""
    kind, name = text(owner, "kind"), text(owner, "name")
    if kind == "ReplicaSet":
        for label, above in _TEMPLATES:
            mark = pods.labels(pod).get(label, "")
            if mark and name.endswith(f"-{mark}"):
                return f"{above}/{name.removesuffix(f'-{mark}')}"
    if kind == "Job" and (due := _DUE.fullmatch(name)):
        return f"CronJob/{due['name']}"
    return f"{kind}/{name}"


def literal(value: str) -> str:
    """A variable's value in which the kubelet expands nothing. It reads `$$` as a dollar, wherever it stands."""
    return value.replace("$", "$$")


def _variable(label: str) -> str:
    return variable_name(f"attribution.labels.{label}")
