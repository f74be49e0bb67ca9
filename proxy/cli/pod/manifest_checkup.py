"""What a pod's manifest says of its interception: pure functions from pods to findings.

Rules: what the injector would do is asked of the injector itself. A pod tells how it was injected (its annotation, the
arguments of its sidecar), so the injector's settings need not be at hand; with them it shows too whether they are still
those. Labels of namespaces are in no pod: nothing is said of them. No value of a variable is repeated.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Final

import orjson

from config.injector import MODES, Mode
from proxy.cli.checkup import Finding, Level
from proxy.cli.pod.clients import BYPASSES, clients_of, families
from proxy.cli.pod.manifest import Described
from proxy.injector import environment, names
from proxy.injector import pod as pods
from proxy.injector.document import Object, elements, section, sections, text, texts
from proxy.injector.patch import Injected, Plan, Refused, Skipped, inject

_MAKE_ANEW: Final = "make the pod anew from its template, without what was injected"
_ENABLE: Final = f'label its namespace {names.INJECT_LABEL}=enabled, or the pod {names.INJECT_LABEL}: "true"'
# Ours differ by cluster, and are no reason why a call would not come here.
_DIFFERENT_BY_RIGHT: Final = ("NO_PROXY", "no_proxy")


@dataclass(frozen=True, slots=True)
class Status:
    """What the injector wrote about the pod."""

    version: str
    mode: Mode
    served: tuple[str, ...]


def check(described: Described, plan: Plan, *, has_settings: bool) -> list[Finding]:
    """Every finding about one pod. `has_settings`: the plan is the cluster's, not one of defaults.

    Raises MalformedError."""
    pod = described.pod
    status = _status(pod)
    sidecar = _own_container(pod, names.SIDECAR)
    if status is None or sidecar is None:
        return list(_not_injected(described, plan, has_sidecar=sidecar is not None, has_settings=has_settings))
    told = f"injected by version {status.version} in mode {status.mode}: {', '.join(status.served) or 'no container'}"
    found = [Finding("injection", Level.OK, told)]
    plan = plan if has_settings else _alike(plan, status, sidecar)
    found += _would_be(described, plan, compares=has_settings)
    found += _own_state(pod, status.mode)
    proxy_url = _proxy_url(sidecar) if status.mode == "env" else None
    for container in pods.containers(pod):
        found += _container(pod, container, status, proxy_url, plan)
    found.append(Finding("mode", Level.NOTE, BYPASSES[status.mode]))
    return found


def _status(pod: Object) -> Status | None:
    try:
        told = orjson.loads(pods.annotations(pod).get(names.STATUS, ""))
    except orjson.JSONDecodeError:
        return None
    if not isinstance(told, dict):
        return None
    mode = next((mode for mode in MODES if mode == told.get("mode")), None)
    return None if mode is None else Status(text(told, "version"), mode, tuple(texts(told, "containers")))


def _own_container(pod: Object, name: str) -> Object | None:
    return next((each for each in sections(section(pod, "spec"), "initContainers") if text(each, "name") == name), None)


def _alike(plan: Plan, status: Status, sidecar: Object) -> Plan:
    """The plan, for a pod that is injected in this mode, by a sidecar with this image and this place."""
    settings = plan.settings.model_copy(update={"mode": status.mode, "image": text(sidecar, "image") or "skinflint"})
    port = (_proxy_url(sidecar) or "").rpartition(":")[2]
    if status.mode == "env" and port.isdigit():
        settings = settings.model_copy(update={"ports": settings.ports.model_copy(update={"proxy": int(port)})})
    return replace(plan, settings=settings)


def _not_injected(described: Described, plan: Plan, *, has_sidecar: bool, has_settings: bool) -> Iterator[Finding]:
    """Why not, and what would become of it."""
    if has_sidecar:
        message = f"it has a container {names.SIDECAR}, but no {names.STATUS} that can be read"
        yield Finding("injection", Level.FAIL, message, _MAKE_ANEW)
        return
    label = pods.labels(described.pod).get(names.INJECT_LABEL)
    decision = inject(described.pod, described.namespace, plan)
    match decision:
        case Skipped():
            yield Finding("injection", Level.NOTE, f"not injected: {decision.reason}")
            return
        case Refused():
            yield Finding("injection", Level.FAIL, f"the injector refuses it: {decision.message}")
            return
        case Injected():
            mode = pods.annotations(described.pod).get(names.MODE, "").strip() or plan.settings.mode
    would = f"it would be injected in mode {mode}{'' if has_settings else ', if the injector has its defaults'}"
    if described.is_template:
        level = Level.OK if label == "true" else Level.NOTE
        yield Finding("injection", level, would, "" if label == "true" else _ENABLE)
    elif label == "true":
        fix = "see that the webhook answers (kubectl get mutatingwebhookconfiguration), then delete the pod"
        yield Finding("injection", Level.FAIL, f"not injected, although labelled for it; {would}", fix)
    else:
        fix = f"{_ENABLE}; pods that were made before have to be deleted"
        yield Finding("injection", Level.FAIL, f"not injected, and not labelled for it; {would}", fix)
    for warning in decision.warnings:
        yield Finding("injection", Level.WARN, warning)
    for container in pods.containers(described.pod):
        yield from _runtimes(container, next(each for each in MODES if each == mode), set(), is_certain=False)


def _would_be(described: Described, plan: Plan, *, compares: bool) -> Iterator[Finding]:
    """What the injector says of the pod as it is."""
    decision = inject(described.pod, described.namespace, plan)
    match decision:
        case Refused():
            yield Finding("injection", Level.FAIL, f"the injector would refuse it now: {decision.message}", _MAKE_ANEW)
        case Skipped():
            yield Finding("injection", Level.NOTE, f"the injector would leave it alone now: {decision.reason}")
        case Injected():
            told = set(_told_by_container(described.pod, plan))
            for warning in decision.warnings:
                if warning not in told:
                    yield Finding("injection", Level.WARN, warning)
            if compares and decision.operations:
                places = {str(each["path"]).split("/")[2] for each in decision.operations}
                message = f"the injector's settings would make it otherwise now: {', '.join(sorted(places))}"
                yield Finding("injection", Level.NOTE, message, _MAKE_ANEW)


def _told_by_container(pod: Object, plan: Plan) -> Iterator[str]:
    """Warnings about variables that containers set themselves: there is more to say of these."""
    for container in pods.containers(pod):
        body = {key: value for key, value in container.body.items() if key != "envFrom"}
        proxy_url = f"http://127.0.0.1:{plan.settings.ports.proxy}" if plan.settings.mode == "env" else None
        _, kept = environment.additions(body, proxy_url, plan.settings.no_proxy)
        yield from environment.warnings(container.name, body, kept)


def _own_state(pod: Object, mode: Mode) -> Iterator[Finding]:
    """What the kubelet says of our own containers; nothing for a pod that has not been started."""
    states = {text(each, "name"): each for each in sections(section(pod, "status"), "initContainerStatuses")}
    if (redirect := states.get(names.REDIRECT)) is not None and mode == "redirect":
        ended = section(section(redirect, "state"), "terminated")
        if ended.get("exitCode") == 0:
            yield Finding("redirect", Level.OK, f"{names.REDIRECT} has written it")
        else:
            fix = f"kubectl logs POD -c {names.REDIRECT}; the namespace must allow NET_ADMIN"
            yield Finding("redirect", Level.FAIL, f"{names.REDIRECT} has not ended well: {_reason(redirect)}", fix)
    elif mode == "redirect" and _own_container(pod, names.REDIRECT) is None:
        yield Finding("redirect", Level.FAIL, f"the container {names.REDIRECT} is missing", _MAKE_ANEW)
    if (sidecar := states.get(names.SIDECAR)) is None:
        return
    restarts = sidecar.get("restartCount")
    if sidecar.get("started") is not True:
        fix = f"kubectl logs POD -c {names.SIDECAR}; kubectl describe pod POD"
        yield Finding("sidecar", Level.FAIL, f"it has not started: {_reason(sidecar)}", fix)
    elif isinstance(restarts, int) and restarts:
        fix = f"kubectl logs POD -c {names.SIDECAR} --previous"
        yield Finding("sidecar", Level.WARN, f"restarts so far: {restarts}", fix)
    else:
        yield Finding("sidecar", Level.OK, "it has started")


def _reason(status: Object) -> str:
    state = section(status, "state")
    for kind in ("waiting", "terminated"):
        told = section(state, kind)
        if told:
            return text(told, "reason") or kind
    return "no reason is told"


def _proxy_url(sidecar: Object) -> str | None:
    """Where its listener for clients is, by its arguments."""
    arguments = texts(sidecar, "args")
    places = [after for before, after in pairwise(arguments) if before == "--listen"]
    return f"http://{places[0]}" if places else None


def _container(
    pod: Object, container: pods.Container, status: Status, proxy_url: str | None, plan: Plan
) -> Iterator[Finding]:
    """One container: is it served, and what does it lack?"""
    subject = f"container {container.name}"
    if container.name not in status.served:
        excluded = container.name in pods.annotations(pod).get(names.EXCLUDE_CONTAINERS, "").replace(",", " ").split()
        reason = (
            f"annotation {names.EXCLUDE_CONTAINERS} excludes it" if excluded else "it was added after the injection"
        )
        level = Level.NOTE if excluded else Level.WARN
        fix = "" if excluded else "let this webhook be called again (reinvocationPolicy IfNeeded)"
        yield Finding(subject, level, f"not served: {reason}", fix)
        return
    missing, kept = environment.additions(container.body, proxy_url, plan.settings.no_proxy)
    absent = [text(each, "name") for each in missing if isinstance(each, dict)]
    own = [name for name in kept if name not in _DIFFERENT_BY_RIGHT and not _is_ours(container.body, name)]
    if absent:
        reason = "somebody took them away"
        if status.version != plan.version:
            reason = f"version {status.version} did not set them, or {reason}"
        yield Finding(subject, Level.WARN, f"lacks {', '.join(absent)}: {reason}", _MAKE_ANEW)
    for name in own:
        yield Finding(subject, Level.WARN, f"sets {name} itself, which stays as it is", _remedy(name))
    if not any(text(each, "mountPath") == names.TRUST_DIR for each in sections(container.body, "volumeMounts")):
        yield Finding(
            subject, Level.FAIL, f"does not mount {names.TRUST_DIR}: what its variables name is not there", _MAKE_ANEW
        )
    if not absent and not own:
        yield Finding(subject, Level.OK, "has all variables")
    yield from _runtimes(container, status.mode, {*absent, *own}, is_certain=True)


def _not_served(pod: Object, container: pods.Container) -> Finding:
    subject = f"container {container.name}"
    if container.name in pods.annotations(pod).get(names.EXCLUDE_CONTAINERS, "").replace(",", " ").split():
        return Finding(subject, Level.NOTE, f"not served: annotation {names.EXCLUDE_CONTAINERS} excludes it")
    fix = "let this webhook be called again (reinvocationPolicy IfNeeded)"
    return Finding(subject, Level.WARN, "not served: it was added after the injection", fix)


def _is_ours(container: Object, name: str) -> bool:
    """Java's options name the exceptions, which differ by cluster; ours carry a mark."""
    value = next((text(each, "value") for each in sections(container, "env") if text(each, "name") == name), "")
    return name == "JAVA_TOOL_OPTIONS" and "-Dskinflint=on" in value.split()


def _remedy(name: str) -> str:
    if name.lower() in ("https_proxy", "all_proxy", "http_proxy"):
        return "take it out: its calls go there; a corporate proxy belongs into the setting upstream.proxy"
    return f"take it out, or put the root in {names.TRUST_DIR} into the file that it names"


def _runtimes(container: pods.Container, mode: Mode, lacking: set[str], *, is_certain: bool) -> Iterator[Finding]:
    """What its image and command give away, and which clients of that runtime do not come here, or do not trust us."""
    command = [each for key in ("command", "args") for each in elements(container.body, key) if isinstance(each, str)]
    found = families(text(container.body, "image"), command)
    for client in clients_of(found):
        subject = f"container {container.name}"
        if reason := client.way(mode):
            message = f"{client.family}: {client.name} would bypass in mode {mode}: it {reason}"
            yield Finding(subject, Level.NOTE, message, f"{names.MODE}: hosts, or redirect")
        elif lost := [name for name in client.needs(mode) if name in lacking]:
            message = f"{client.family}: {client.name} does without Skinflint's {', '.join(lost)}"
            yield Finding(subject, Level.WARN, f"{message}: its calls fail, or go past it")
        elif not client.trusts_by:
            message = f"{client.family}: {client.name} trusts the system's store alone"
            yield Finding(subject, Level.NOTE, message, f'{names.SYSTEM_STORE}: "true"')
    if found and is_certain and not lacking:
        yield Finding(
            f"container {container.name}", Level.OK, f"looks like {', '.join(found)}: comes here in mode {mode}"
        )
