"""Reads the pods out of a manifest, YAML or JSON: pods themselves, lists of them, and templates of workloads.

Rules: bounded, as it may come from anywhere; an error says what is wrong and where, and shows nothing of the content.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import yaml

from proxy.injector.document import Json, MalformedError, Object, section, sections, text

MOST_BYTES: Final = 16 * 1024 * 1024
_MOST_VALUES: Final = 1_000_000  # an alias stands for all that it names
_TEMPLATES: Final[dict[str, tuple[str, ...]]] = {
    "Deployment": ("spec", "template"),
    "ReplicaSet": ("spec", "template"),
    "StatefulSet": ("spec", "template"),
    "DaemonSet": ("spec", "template"),
    "ReplicationController": ("spec", "template"),
    "Rollout": ("spec", "template"),
    "Job": ("spec", "template"),
    "CronJob": ("spec", "jobTemplate", "spec", "template"),
}


class ManifestError(Exception):
    """What is read is no manifest with pods."""


@dataclass(frozen=True, slots=True)
class Described:
    """A pod, and what it is called."""

    name: str  # Deployment/web for a template, else the pod's own name
    namespace: str
    pod: Object
    is_template: bool = False


def read(content: str) -> list[Described]:
    """The pods. Raises ManifestError."""
    if len(content.encode()) > MOST_BYTES:
        raise ManifestError(f"it is larger than {MOST_BYTES:,} bytes")
    try:
        values = [_plain(value) for value in yaml.safe_load_all(content)]
        found = [pod for value in values if isinstance(value, dict) for pod in _pods(value)]
    except yaml.MarkedYAMLError as exc:
        line = exc.problem_mark.line + 1 if exc.problem_mark else 0
        raise ManifestError(f"line {line}: not valid YAML: {exc.problem}") from None
    except yaml.YAMLError:
        raise ManifestError("not valid YAML") from None
    except MalformedError as exc:
        raise ManifestError(f"it is malformed: {exc}") from exc
    except RecursionError:
        raise ManifestError("it is nested too deeply") from None
    if not found:
        raise ManifestError(f"there is no pod in it, nor any of {', '.join(_TEMPLATES)}")
    return found


def _pods(document: Object) -> Iterator[Described]:
    kind = text(document, "kind")
    if kind == "Pod":
        metadata = section(document, "metadata")
        name = text(metadata, "name") or text(metadata, "generateName")
        yield Described(name, text(metadata, "namespace"), document)
    elif kind.endswith("List"):
        for item in sections(document, "items"):
            # The items of a PodList need not say what they are.
            yield from _pods({"kind": kind.removesuffix("List"), **item})
    elif kind in _TEMPLATES:
        metadata = section(document, "metadata")
        template = document
        for key in _TEMPLATES[kind]:
            template = section(template, key)
        name = f"{kind}/{text(metadata, 'name')}"
        yield Described(name, text(metadata, "namespace"), {"kind": "Pod", **template}, is_template=True)


def _plain(value: object) -> Json:
    """As JSON would have it: YAML knows dates besides, which are texts here."""
    left = _MOST_VALUES

    def plain(each: object) -> Json:
        nonlocal left
        left -= 1
        if left < 0:
            raise ManifestError(f"it has more than {_MOST_VALUES:,} values")
        if isinstance(each, dict):
            return {str(key): plain(item) for key, item in each.items()}
        if isinstance(each, list):
            return [plain(item) for item in each]
        return each if each is None or isinstance(each, bool | int | float | str) else str(each)

    return plain(value)
