"""A pod as the injector sees it: its containers, and what of it matters to every mode."""

from collections.abc import Iterator
from dataclasses import dataclass

from proxy.injector import names
from proxy.injector.document import MalformedError, Object, Path, section, sections, text


@dataclass(frozen=True, slots=True)
class Container:
    """A container or init container of the pod's own, and where it stands in the document."""

    name: str
    path: Path
    body: Object


def containers(pod: Object) -> Iterator[Container]:
    """Every container and init container that is not ours."""
    for key in ("initContainers", "containers"):
        for index, body in enumerate(sections(section(pod, "spec"), key)):
            name = text(body, "name")
            if name not in names.OWN_CONTAINERS:
                yield Container(name, ("spec", key, index), body)


def annotations(pod: Object) -> dict[str, str]:
    """The pod's annotations."""
    return _texts(section(pod, "metadata"), "annotations")


def labels(pod: Object) -> dict[str, str]:
    """The pod's labels."""
    return _texts(section(pod, "metadata"), "labels")


def tcp_ports(pod: Object) -> set[int]:
    """The ports that containers say they listen on."""
    found: set[int] = set()
    for container in containers(pod):
        for port in sections(container.body, "ports"):
            number = port.get("containerPort")
            if isinstance(number, int) and (text(port, "protocol") or "TCP") == "TCP":
                found.add(number)
    return found


def runs_as(pod: Object, container: Container) -> object:
    """The user that a container is said to run as; None when its image decides."""
    own = section(container.body, "securityContext").get("runAsUser")
    return own if own is not None else section(section(pod, "spec"), "securityContext").get("runAsUser")


def _texts(parent: Object, key: str) -> dict[str, str]:
    found = {name: value for name, value in section(parent, key).items() if isinstance(value, str)}
    if len(found) != len(section(parent, key)):
        raise MalformedError(f"{key} must be texts by name")
    return found
