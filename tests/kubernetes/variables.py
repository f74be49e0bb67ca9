"""A container's variables as the kubelet makes them: in order, with references, from the pod and from Secrets. Pure.

Rules: `$(NAME)` becomes the value of an earlier variable or of a Service's; `$$` is one `$`; a name that is not known
stays as it was written.
"""

import re
from collections.abc import Mapping

from proxy.injector.document import Object, section, sections, text
from tests.kubernetes.volumes import Secrets

# What every container of a cluster is told of the API server.
SERVICES: Mapping[str, str] = {"KUBERNETES_SERVICE_HOST": "10.96.0.1", "KUBERNETES_SERVICE_PORT": "443"}
_REFERENCE = re.compile(r"\$(?:(?P<dollar>\$)|\((?P<name>[^)]*)\))")
_MEMBER = re.compile(r"metadata\.(?P<map>labels|annotations)\['(?P<key>.+)'\]")


def variables(container: Object, pod: Object, secrets: Secrets) -> dict[str, str]:
    """What the container's process gets besides its image's own."""
    found: dict[str, str] = {}
    for entry in sections(container, "env"):
        value = _value(entry, pod, secrets, found)
        if value is not None:
            found[text(entry, "name")] = value
    return {**SERVICES, **found}


def expanded(written: str, known: Mapping[str, str]) -> str:
    """A text with its references replaced, as in `env`, `command` and `args`."""

    def replace(match: re.Match[str]) -> str:
        return "$" if match["dollar"] else known.get(match["name"], match[0])

    return _REFERENCE.sub(replace, written)


def field(pod: Object, path: str) -> str:
    """The downward API: a field of the pod."""
    if member := _MEMBER.fullmatch(path):
        return text(section(section(pod, "metadata"), member["map"]), member["key"])
    parent, _, key = path.partition(".")
    return text(section(pod, parent), key)


def _value(entry: Object, pod: Object, secrets: Secrets, before: Mapping[str, str]) -> str | None:
    source = section(entry, "valueFrom")
    if not source:
        return expanded(text(entry, "value"), {**SERVICES, **before})
    if reference := section(source, "fieldRef"):
        return field(pod, text(reference, "fieldPath"))
    reference = section(source, "secretKeyRef")
    secret = secrets.get(text(reference, "name"), {})
    if text(reference, "key") in secret:
        return secret[text(reference, "key")]
    assert reference.get("optional") is True, f"there is no secret for {text(entry, 'name')}"
    return None
