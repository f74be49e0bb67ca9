"""Pod and settings in; a JSON patch, a refusal or nothing out. Pure.

Rules: applied to what it has made, it changes nothing; applied after another webhook has added containers, it gives
them what the others have. What is ours is known by its name and made anew; what is the pod's own is never changed.
Once injected, a pod keeps its mode: what another mode left behind could not be told from the pod's own.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import orjson

from config.injector import InjectorSettings
from proxy.injector import environment, names, volumes
from proxy.injector import pod as pods
from proxy.injector.document import Draft, MalformedError, Object, covers, section, sections, text
from proxy.injector.modes import Interception, choose
from proxy.injector.sidecar import sidecar
from proxy.injector.wishes import RefusedError, Wishes, unknown_annotations, wishes

_MIRROR: Final = "kubernetes.io/config.mirror"  # the image of a static pod: the kubelet runs that from its own file
_NOT_OURS: Final = ("kube-system", "kube-public", "kube-node-lease")
_FILLED_IN: Final = {"imagePullPolicy", "terminationMessagePath"}  # of containers, by the API server
_MOST_WARNINGS: Final = 16  # the API server shows 4,096 characters of them


@dataclass(frozen=True, slots=True)
class Injected:
    """Operations of RFC 6902, and what whoever made the pod should know. No operations: it is as it should be."""

    operations: tuple[Object, ...]
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Skipped:
    """The pod stays as it is."""

    reason: str


@dataclass(frozen=True, slots=True)
class Refused:
    """The pod must not be made like this."""

    message: str


type Decision = Injected | Skipped | Refused


@dataclass(frozen=True, slots=True)
class Plan:
    """What is the same for all pods. `known_hosts`: exact names of the providers."""

    settings: InjectorSettings
    known_hosts: tuple[str, ...]
    version: str


def inject(pod: Object, namespace: str, plan: Plan) -> Decision:
    """Decide about one pod. `namespace`: where it will be, which the pod itself may not say."""
    try:
        if reason := _left_alone(pod, namespace):
            return Skipped(reason)
        return _injected(pod, plan)
    except RefusedError as refusal:
        return Refused(str(refusal))
    except MalformedError as exc:
        return Refused(f"the pod is malformed: {exc}")


def _left_alone(pod: Object, namespace: str) -> str:
    if pods.labels(pod).get(names.INJECT_LABEL) == "false":
        return f"label {names.INJECT_LABEL} is false"
    if namespace in _NOT_OURS:
        return "a namespace of Kubernetes itself"
    if _MIRROR in pods.annotations(pod):
        return "a static pod"
    return ""


def _injected(pod: Object, plan: Plan) -> Injected:
    wanted = wishes(pods.annotations(pod), plan.settings)
    mode = choose(wanted, plan.settings, plan.known_hosts)
    if problems := [*_refusals(pod, wanted, plan.settings), *mode.refusals(pod)]:
        way_out = f'; or label the pod {names.INJECT_LABEL}: "false" to keep it without Skinflint'
        raise RefusedError("; ".join(problems) + way_out)
    draft = Draft(pod)
    warnings = [*unknown_annotations(pods.annotations(pod)), *_shared(pod)]
    _place_own_containers(draft, [*mode.before(), sidecar(pod, wanted, plan.settings, mode.listen)])
    _place_volumes(draft, volumes.volumes(wanted.extra_ca))
    warnings += mode.change(draft)
    _place_pull_secrets(draft, plan.settings.image_pull_secrets)
    served = _serve_containers(draft, wanted, mode, plan.settings, warnings)
    warnings += _excluded(pod, wanted, mode)
    status = {"version": plan.version, "mode": wanted.mode, "containers": served}
    draft.put(("metadata", "annotations"), names.STATUS, orjson.dumps(status).decode())
    return Injected(tuple(draft.operations), _bounded(warnings))


def _refusals(pod: Object, wanted: Wishes, settings: InjectorSettings) -> Iterator[str]:
    spec = section(pod, "spec")
    if not sections(spec, "containers"):
        yield "the pod has no containers"
    if spec.get("hostNetwork") is True:
        yield "hostNetwork: a pod in the node's network cannot have a sidecar that catches its calls"
    if text(section(spec, "os"), "name") == "windows":
        yield "os windows: the sidecar is for Linux"
    if settings.ports.admin in pods.tcp_ports(pod):
        yield f"a container listens on port {settings.ports.admin}, which is the sidecar's (ports.admin)"
    ours = [text(each, "name") for each in sections(spec, "containers") if text(each, "name") in names.OWN_CONTAINERS]
    status = pods.annotations(pod).get(names.STATUS)
    if status is None:
        ours += [text(each, "name") for each in sections(spec, "initContainers")]
        ours += [text(each, "name") for each in sections(spec, "volumes")]
    elif (before := _mode_of(status)) != wanted.mode:
        yield (
            f"it was injected in mode {before or 'unknown'} and now asks for {wanted.mode}; "
            f"make it from its template, without annotation {names.STATUS}"
        )
    if taken := [name for name in ours if name in (*names.OWN_CONTAINERS, *names.OWN_VOLUMES)]:
        yield f"names that Skinflint uses are taken: {', '.join(taken)}; rename them"


def _mode_of(status: str) -> str:
    try:
        told = orjson.loads(status)
    except orjson.JSONDecodeError:
        return ""
    mode = told.get("mode") if isinstance(told, dict) else None
    return mode if isinstance(mode, str) else ""


def _place_own_containers(draft: Draft, wanted: Sequence[Object]) -> None:
    """First of all init containers, in this order."""
    path = ("spec", "initContainers")
    there = sections(section(draft.document, "spec"), "initContainers")
    own = [index for index, each in enumerate(there) if text(each, "name") in names.OWN_CONTAINERS]
    if own == list(range(len(wanted))) and all(_is_whole(there[index], each) for index, each in enumerate(wanted)):
        return
    for index in reversed(own):
        draft.remove(path, index)
    for index, each in enumerate(wanted):
        draft.insert(path, index, each)


def _is_whole(found: Object, wanted: Object) -> bool:
    """Does it say what we say, and nothing that would make it another program? Whoever makes a pod can write it too."""
    more = {key for key, value in found.items() if value and key not in wanted}
    rights, ours = section(found, "securityContext"), section(wanted, "securityContext")
    return covers(found, wanted) and more <= _FILLED_IN and covers(ours, rights)


def _place_volumes(draft: Draft, wanted: Sequence[Object]) -> None:
    path = ("spec", "volumes")
    for volume in wanted:
        there = sections(section(draft.document, "spec"), "volumes")
        places = [index for index, each in enumerate(there) if each.get("name") == volume["name"]]
        if not places:
            draft.extend(path, [volume])
        elif not covers(there[places[0]], volume):
            draft.replace(path, places[0], volume)


def _place_pull_secrets(draft: Draft, wanted: Sequence[str]) -> None:
    there = [text(each, "name") for each in sections(section(draft.document, "spec"), "imagePullSecrets")]
    draft.extend(("spec", "imagePullSecrets"), [{"name": name} for name in wanted if name not in there])


def _serve_containers(
    draft: Draft, wanted: Wishes, mode: Interception, settings: InjectorSettings, warnings: list[str]
) -> list[str]:
    """Variables and mounts for every container that is not excluded; returns their names."""
    served: list[str] = []
    for each in list(pods.containers(draft.document)):
        if each.name in wanted.exclude_containers:
            continue
        variables, kept = environment.additions(each.body, mode.proxy_url, settings.no_proxy)
        mounts, said = volumes.additions(each.name, each.body, wanted.system_store)
        warnings += [*environment.warnings(each.name, each.body, kept), *said]
        draft.extend((*each.path, "env"), variables)
        draft.extend((*each.path, "volumeMounts"), mounts)
        served.append(each.name)
    return served


def _shared(pod: Object) -> list[str]:
    if section(pod, "spec").get("shareProcessNamespace") is True:
        return ["shareProcessNamespace: containers that run as root can read the sidecar's memory, and its key"]
    return []


def _excluded(pod: Object, wanted: Wishes, mode: Interception) -> Iterator[str]:
    """Hosts file and network are the whole pod's: only variables can lead some containers and leave out others."""
    known = {each.name for each in pods.containers(pod)}
    for name in wanted.exclude_containers:
        if name not in known:
            yield f"annotation {names.EXCLUDE_CONTAINERS}: there is no container {name}"
        elif mode.proxy_url is None:
            yield (
                f"container {name} is excluded, but in mode {wanted.mode} its calls to providers come to Skinflint "
                "like all of the pod's, and it does not trust it; the mode env leaves containers out"
            )


def _bounded(warnings: list[str]) -> tuple[str, ...]:
    unique = list(dict.fromkeys(warnings))
    if len(unique) <= _MOST_WARNINGS:
        return tuple(unique)
    return (*unique[: _MOST_WARNINGS - 1], f"and {len(unique) - _MOST_WARNINGS + 1} more")
