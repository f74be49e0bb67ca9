"""The variables of the application's containers: which of them are added, and which are its own.

Rules: what a container sets itself is never changed, nor made ineffective by another spelling of it (https_proxy beside
HTTPS_PROXY). A container with a proxy of its own gets what makes it trust us, and nothing that would lead it here. The
variables are those of proxy/edge/runtimes.py, where `skinflint exec` and `env` have them from.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from proxy.edge.runtimes import Kind, describe, variables
from proxy.edge.trust import TrustFiles
from proxy.injector import names
from proxy.injector.document import Json, Object, elements, sections, text

TRUST: Final = TrustFiles.in_directory(Path(names.TRUST_DIR))
_SPELLINGS: Final = {each.name for each in describe() if each.kind in (Kind.PROXY, Kind.NO_PROXY)}
_PROXIES: Final = ("https_proxy", "all_proxy")  # in any case: who has one sends HTTPS there
# The kubelet puts the address in; it is another one in each cluster.
_KNOWN: Final = {"KUBERNETES_SERVICE_HOST": "$(KUBERNETES_SERVICE_HOST)"}


def wanted(proxy_url: str | None, no_proxy: Sequence[str]) -> dict[str, str]:
    """What a container without variables of its own gets."""
    return variables(proxy_url, TRUST, no_proxy=no_proxy, existing=_KNOWN)


def additions(container: Object, proxy_url: str | None, no_proxy: Sequence[str]) -> tuple[list[Json], list[str]]:
    """The variables to add to a container, and the names of those that are its own."""
    ours = wanted(proxy_url, no_proxy)
    users = _own(container, ours)
    proxies = [name for name in users if name.lower() in _PROXIES]
    if proxies:
        ours = wanted(None, ())
    there = {text(each, "name") for each in sections(container, "env")}
    taken = {name.lower() for name in users}
    added: list[Json] = [
        {"name": name, "value": value}
        for name, value in ours.items()
        if name not in there and not (name in _SPELLINGS and name.lower() in taken)
    ]
    kept = [name for name in users if name in ours or _rivals(name, ours)]
    return added, list(dict.fromkeys([*proxies, *kept]))


def warnings(name: str, container: Object, kept: Sequence[str]) -> list[str]:
    """What whoever made the container should know."""
    told: list[str] = []
    if proxies := [each for each in kept if each.lower() in _PROXIES]:
        told.append(f"container {name} keeps its own {', '.join(proxies)}: its calls go there, not through Skinflint")
    if others := [each for each in kept if each.lower() not in _PROXIES]:
        told.append(f"container {name} keeps its own {', '.join(others)}: see that it trusts {names.TRUST_DIR}")
    if elements(container, "envFrom"):
        told.append(f"container {name}: variables by envFrom give way to Skinflint's of the same name")
    return told


def _own(container: Object, ours: dict[str, str]) -> list[str]:
    """The names that the container sets otherwise than we would, in its order."""
    found: dict[str, None] = {}
    for entry in sections(container, "env"):
        name = text(entry, "name")
        is_ours = name in ours and "valueFrom" not in entry and text(entry, "value") == ours[name]
        if not is_ours:
            found[name] = None
    return list(found)


def _rivals(name: str, ours: dict[str, str]) -> bool:
    """Is it another spelling of one of ours?"""
    return any(each in _SPELLINGS and each.lower() == name.lower() for each in ours)
