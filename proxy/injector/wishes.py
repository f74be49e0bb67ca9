"""What a pod asks for by its annotations, over the injector's settings.

Rules: annotations that say nothing that can be done refuse the pod, all of them at once, each with its name and what is
allowed; an unknown one under our prefix is a warning, with the known ones.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Final

import orjson

from config.errors import shown
from config.gateway import network
from config.injector import MODES, InjectorSettings, Mode, amounts, host_name
from proxy.injector import names
from proxy.injector.document import Object

_SWITCH: Final = {"true": True, "false": False}
_MOST_LISTED: Final = 256  # elements of one annotation


class RefusedError(Exception):
    """The pod cannot be injected as it is. The message is for who made it."""


@dataclass(frozen=True, slots=True)
class Wishes:
    """One pod's wishes."""

    mode: Mode
    hosts: tuple[str, ...]
    exclude_cidrs: tuple[str, ...]
    exclude_containers: tuple[str, ...]
    system_store: bool
    extra_ca: str  # a ConfigMap's name; empty for none
    resources: Object


def wishes(annotations: Mapping[str, str], settings: InjectorSettings) -> Wishes:
    """What this pod gets. Raises RefusedError with every problem."""
    problems: list[str] = []

    def asked[T](read: Callable[[], T], instead: T) -> T:
        try:
            return read()
        except RefusedError as refusal:
            problems.append(str(refusal))
            return instead

    none: tuple[str, ...] = ()
    found = Wishes(
        mode=asked(lambda: _mode(annotations.get(names.MODE, ""), settings), settings.mode),
        hosts=(*settings.hosts, *asked(lambda: _checked(annotations, names.HOSTS, host_name), none)),
        exclude_cidrs=(
            *settings.exclude_cidrs,
            *asked(lambda: _checked(annotations, names.EXCLUDE_CIDRS, network), none),
        ),
        exclude_containers=asked(lambda: _listed(annotations, names.EXCLUDE_CONTAINERS), none),
        system_store=asked(lambda: _switch(annotations, names.SYSTEM_STORE, settings.system_store), False),
        extra_ca=annotations.get(names.EXTRA_CA, "").strip(),
        resources=asked(lambda: _resources(annotations.get(names.RESOURCES, ""), settings), {}),
    )
    if problems:
        raise RefusedError("; ".join(problems))
    return found


def unknown_annotations(annotations: Iterable[str]) -> list[str]:
    """Warnings about annotations that look like ours."""
    known = ", ".join(each.removeprefix(names.PREFIX) for each in names.ANNOTATIONS if each != names.STATUS)
    return [
        f"annotation {name} is not known; known after {names.PREFIX}: {known}"
        for name in annotations
        if name.startswith(names.PREFIX) and name not in (*names.ANNOTATIONS, names.INJECT_LABEL)
    ]


def _mode(given: str, settings: InjectorSettings) -> Mode:
    found = next((mode for mode in MODES if mode == given.strip()), None)
    if found is None and given.strip():
        raise RefusedError(f"annotation {names.MODE}: got {shown(given)}; allowed: {', '.join(MODES)}")
    return found or settings.mode


def _listed(annotations: Mapping[str, str], name: str) -> tuple[str, ...]:
    found = tuple(part.strip() for part in annotations.get(name, "").split(",") if part.strip())
    if len(found) > _MOST_LISTED:
        raise RefusedError(f"annotation {name}: at most {_MOST_LISTED} may be listed")
    return found


def _checked(annotations: Mapping[str, str], name: str, check: Callable[[str], str]) -> tuple[str, ...]:
    try:
        return tuple(check(part) for part in _listed(annotations, name))
    except ValueError as exc:
        raise RefusedError(f"annotation {name}: each {exc}") from exc


def _switch(annotations: Mapping[str, str], name: str, default: bool) -> bool:
    if not (given := annotations.get(name, "").strip().lower()):
        return default
    if given not in _SWITCH:
        raise RefusedError(f'annotation {name}: must be "true" or "false"')
    return _SWITCH[given]


def _resources(given: str, settings: InjectorSettings) -> Object:
    told: dict[str, dict[str, str]] = {"requests": settings.resources.requests, "limits": settings.resources.limits}
    if given.strip():
        try:
            wanted = orjson.loads(given)
        except orjson.JSONDecodeError:
            wanted = None
        if not isinstance(wanted, dict) or not wanted.keys() <= told.keys():
            raise RefusedError(f'annotation {names.RESOURCES}: must be JSON, as {{"limits": {{"memory": "1Gi"}}}}')
        for kind, chosen in wanted.items():
            told[kind] = told[kind] | _amounts(chosen)
    return {kind: dict(chosen) for kind, chosen in told.items() if chosen}


def _amounts(chosen: object) -> dict[str, str]:
    if not isinstance(chosen, dict) or not all(isinstance(amount, str) for amount in chosen.values()):
        raise RefusedError(f'annotation {names.RESOURCES}: amounts must be texts by name, as {{"cpu": "100m"}}')
    try:
        return amounts(chosen)
    except ValueError as exc:
        raise RefusedError(f"annotation {names.RESOURCES}: {exc}") from exc
