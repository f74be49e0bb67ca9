"""What follows from what the doctor saw in a sidecar: pure functions from what was seen to findings.

Rules: as in checkup.py. What cannot be seen from here is said to be so, never taken for well: the kernel's rules show
by the connections that came, and what containers were told stands in the pod's manifest (`skinflint doctor --pod`).
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from ipaddress import ip_address
from typing import Final

from config.environment import variable_name
from proxy.cli import checkup
from proxy.cli.checkup import Finding, Level
from proxy.cli.machine import Snapshot
from proxy.cli.pod.clients import BYPASSES, CLIENTS, OWN_ROOTS
from proxy.cli.pod.sidecar import Sidecar
from proxy.injector import names

_LOGS: Final = f"kubectl logs POD -c {names.SIDECAR}"
_MAKE_ANEW: Final = "delete the pod, so that it is made, and injected, anew"
_FROM_KUBELET: Final = ("pod", "namespace", "node")
_LABELS: Final = variable_name("attribution.labels.")
# What was going to port 443 of a provider: straight to our listener nobody can say so.
_THROUGH_REDIRECT: Final = ("intercepted", "tunnelled_pinned", "tunnelled_passthrough")
_WHY: Final = {
    "not_a_provider": "is no provider",
    "passthrough": "the setting passthrough.hosts names it",
    "pinned": "the client refused our certificate before",
    "other_protocol": "gRPC, or another protocol than HTTP",
    "not_tls": "begins like TLS and is none",
    "origin_speaks_first": "its origin speaks first, as in SSH and mail",
}
_ENDS: Final = {
    "rejected": "ended by clients that refused our certificate",
    "tls_failed": "ended in the TLS handshake",
    "refused": "refused: too many at once (limits.max_connections), or not allowed",
    "closed": "closed: nothing said where to, or not to a provider; or straight to the listener of a redirect",
}
_ORDINARY: Final = ("not_a_provider", "origin_speaks_first", "passthrough", "proxied")


def check(seen: Snapshot, sidecar: Sidecar, hosts: Sequence[str]) -> list[Finding]:
    """Every finding, in the order in which they should be mended. `hosts`: the providers' exact names."""
    found = [replace(each, fix=_LOGS) if each.fix else each for each in checkup.running(seen)]
    found += checkup.authority(seen)
    checks: tuple[Callable[[], Iterator[Finding]], ...] = (
        lambda: way(seen, sidecar, hosts),
        lambda: trust(sidecar),
        lambda: clients(sidecar),
        lambda: connections(sidecar),
        lambda: stores(sidecar),
        lambda: labels(seen, sidecar),
        lambda: checkup.descriptors(seen),
    )
    return found + [finding for each in checks for finding in each()]


def way(seen: Snapshot, sidecar: Sidecar, hosts: Sequence[str]) -> Iterator[Finding]:
    """What leads clients here, as far as it shows from here."""
    came = sum(sidecar.said.connections.get(kind, 0) for kind in _THROUGH_REDIRECT)
    match sidecar.mode:
        case None:
            yield Finding("mode", Level.FAIL, "no listener is of a mode that the injector makes", _MAKE_ANEW)
        case "hosts":
            yield Finding("mode", Level.OK, "hosts: the pod's hosts file leads to a listener on port 443")
            yield from _hosts(seen, sidecar, hosts)
        case "env":
            yield Finding("mode", Level.OK, "env: variables lead clients to a proxy on loopback")
            fix = "kubectl get pod POD -o yaml | skinflint doctor --pod -"
            yield Finding("way", Level.NOTE, "which container has which variable cannot be seen from here", fix)
        case "redirect":
            yield Finding("mode", Level.OK, "redirect: the kernel leads connections to port 443 here")
            yield _redirect(came)


def _redirect(came: int) -> Finding:
    if came:
        return Finding("way", Level.OK, f"the redirect is in place: {came:,} connections to providers came through it")
    message = (
        f"no connection to a provider has come through the redirect yet; {names.REDIRECT} wrote it before this "
        "container could start, and this user may not list it"
    )
    return Finding("way", Level.NOTE, message, "make a call from the application, then look again")


def _hosts(seen: Snapshot, sidecar: Sidecar, hosts: Sequence[str]) -> Iterator[Finding]:
    here = [host for host in hosts if _is_loopback(seen.hosts_file.get(host, ""))]
    elsewhere = [host for host in hosts if host in seen.hosts_file and host not in here]
    absent = [host for host in hosts if host not in seen.hosts_file]
    if here:
        yield Finding("way", Level.OK, f"/etc/hosts leads {len(here)} names here")
    else:
        yield Finding("way", Level.FAIL, "/etc/hosts leads no provider here", _MAKE_ANEW)
    if elsewhere:
        message = f"hostAliases of the pod's own lead {_some(elsewhere)} elsewhere"
        yield Finding("way", Level.WARN, message, "take them out")
    if here and absent:
        message = f"/etc/hosts does not have {_some(absent)}, which this version knows"
        yield Finding("way", Level.WARN, message, _MAKE_ANEW)
    if sidecar.first_port is not None and sidecar.first_port > 443:
        message = f"net.ipv4.ip_unprivileged_port_start is {sidecar.first_port}: port 443 is not for this user"
        yield Finding("way", Level.FAIL, message, f"let the pod have the sysctl, or {names.MODE}: env")


def trust(sidecar: Sidecar) -> Iterator[Finding]:
    """Can the application's containers read what makes them trust us, and nobody the key?"""
    if not sidecar.shares_trust:
        yield Finding("trust files", Level.FAIL, "they are on no volume that other containers could mount", _MAKE_ANEW)
    if sidecar.unreadable:
        message = f"missing, or not readable for other users: {', '.join(sidecar.unreadable)}"
        yield Finding("trust files", Level.FAIL, message, _LOGS)
    if sidecar.shares_trust and not sidecar.unreadable:
        yield Finding("trust files", Level.OK, f"all containers can read them in {names.TRUST_DIR}")
    if not sidecar.key_in_memory:
        yield Finding("authority", Level.WARN, "its key is not on a volume in memory", _MAKE_ANEW)


def clients(sidecar: Sidecar) -> Iterator[Finding]:
    """Who comes here in this mode, by which variable it trusts us, and who does not."""
    mode = sidecar.mode
    if mode is None:
        return
    for client in CLIENTS:
        subject = f"{client.family}: {client.name}"
        if reason := client.way(mode):
            yield Finding(subject, Level.NOTE, f"bypasses: it {reason}", f"{names.MODE}: hosts, or redirect")
        elif not client.trusts_by:
            yield Finding(subject, Level.NOTE, "trusts the system's store alone", f'{names.SYSTEM_STORE}: "true"')
        else:
            yield Finding(subject, Level.OK, f"comes here; needs {', '.join(dict.fromkeys(client.needs(mode)))}")
    yield Finding("others", Level.NOTE, f"{BYPASSES[mode]}; {OWN_ROOTS}")


def connections(sidecar: Sidecar) -> Iterator[Finding]:
    """What became of those that came."""
    said = sidecar.said
    if said.problem:
        yield Finding("connections", Level.WARN, said.problem, _LOGS)
        return
    intercepted = said.connections.get("intercepted", 0)
    yield Finding("connections", Level.OK if intercepted else Level.NOTE, f"{intercepted:,} intercepted so far")
    for kind, count in sorted(said.connections.items()):
        if kind == "intercepted" or not count:
            continue
        reason = kind.removeprefix("tunnelled_")
        told = f"relayed untouched: {_WHY.get(reason, reason)}" if reason != kind else _ENDS.get(kind, kind)
        yield Finding("connections", Level.NOTE if reason in _ORDINARY else Level.WARN, f"{count:,} {told}")
    for name, count in said.pinned.items():
        fix = "see which variable its runtime needs; if it has roots of its own, put the name into passthrough.hosts"
        yield Finding("pins", Level.WARN, f"{count} clients refuse our certificate for {name}, and are relayed", fix)


def stores(sidecar: Sidecar) -> Iterator[Finding]:
    """Redis, disk and the ledger's database, as the proxy sees them."""
    said = sidecar.said
    if said.problem:
        return
    for tier in said.tiers:
        if tier in said.tiers_down:
            yield Finding("cache", Level.WARN, f"the tier {tier} is not reached; answers are made without it", _LOGS)
        else:
            yield Finding("cache", Level.OK, f"the tier {tier} answers")
    if said.ledger is not None:
        message = f"the ledger ({sidecar.ledger}) is degraded: {said.ledger}; its rows wait"
        yield Finding("ledger", Level.WARN, message, _LOGS)
    elif sidecar.ledger:
        yield Finding("ledger", Level.OK, f"{sidecar.ledger}: rows are written")


def labels(seen: Snapshot, sidecar: Sidecar) -> Iterator[Finding]:
    """Has the downward API filled in whose calls these are?"""
    if missing := [name for name in _FROM_KUBELET if not sidecar.labels.get(name)]:
        yield Finding("labels", Level.WARN, f"not filled in: {', '.join(missing)}", _MAKE_ANEW)
    told = ", ".join(f"{name}={value}" for name, value in sidecar.labels.items() if value)
    if told:
        yield Finding("labels", Level.OK, told)
    empty = [name for name, value in seen.environ.items() if name.startswith(_LABELS) and not value]
    if absent := sorted(set(map(_label, empty)) - set(missing)):
        yield Finding("labels", Level.NOTE, f"the pod has no such labels: {', '.join(absent)}")


def _label(variable: str) -> str:
    return variable.removeprefix(_LABELS).lower()


def _is_loopback(address: str) -> bool:
    try:
        return ip_address(address).is_loopback
    except ValueError:
        return False


def _some(given: Sequence[str]) -> str:
    return ", ".join(given[:3]) + (f" and {len(given) - 3} more" if len(given) > 3 else "")
