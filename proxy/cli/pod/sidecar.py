"""What the doctor looks at in an injected sidecar: its container's files and mounts, and what the proxy says.

Rules: as in machine.py: all the looking and none of the judging; nothing is changed, no privilege is asked for, and
nothing but our own admin listener is connected to. What this container cannot see is not guessed: the application's
variables and processes, and the kernel's rules.
"""

import http.client
import json
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from config.injector import Mode
from config.schema import Settings, split_address
from proxy.edge.trust import TrustFiles
from proxy.injector import names
from proxy.runtime import Runtime, reachable

_PATIENCE_S: Final = 3.0
_MODES: Final[dict[str, Mode]] = {"hosts": "hosts", "regular": "env", "transparent": "redirect"}


@dataclass(frozen=True, slots=True)
class Said:
    """What the proxy says of itself; `problem`: why it does not."""

    problem: str = ""
    connections: Mapping[str, int] = field(default_factory=dict)  # by what became of them
    pinned: Mapping[str, int] = field(default_factory=dict)  # clients that refuse our certificate, by server name
    ledger: str | None = None  # None: there is none, or it is well
    tiers_down: tuple[str, ...] = ()
    tiers: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Sidecar:
    """All that is judged, besides the snapshot of the machine."""

    mode: Mode | None  # None: its listeners are of no mode that the injector makes
    labels: Mapping[str, str]
    shares_trust: bool  # the public files are on a volume of their own
    unreadable: tuple[str, ...]  # public files that are missing, or that others than this user cannot read
    key_in_memory: bool
    first_port: int | None  # that needs no privilege; None: not known
    ledger: str  # its kind of database; empty: none
    said: Said


def is_sidecar(settings: Settings) -> bool:
    """Do the settings say what the injector says to sidecars?"""
    return settings.data_dir == Path(names.DATA_DIR) and settings.trust_dir == Path(names.TRUST_DIR)


def look(settings: Settings, running: Runtime | None, trust: TrustFiles, proc: Path = Path("/proc")) -> Sidecar:
    """Look at everything once."""
    modes = [each.mode for each in (running.listeners if running else settings.listeners)]
    return Sidecar(
        mode=next((_MODES[mode] for mode in modes if mode in _MODES), None),
        labels=settings.attribution.labels,
        shares_trust=_is_mount(trust.ca.parent, proc),
        unreadable=tuple(file.name for file in _public(trust) if not _is_public(file)),
        key_in_memory=_kind_of_mount(settings.ca_dir or settings.data_dir / "ca", proc) in ("tmpfs", "ramfs"),
        first_port=_number(proc / "sys/net/ipv4/ip_unprivileged_port_start"),
        ledger=(settings.ledger.url or "sqlite").partition(":")[0].partition("+")[0] if settings.ledger.enabled else "",
        said=said(running.admin) if running else Said("no proxy is running"),
    )


def said(admin: str) -> Said:
    """Ask the proxy."""
    try:
        stats, metrics = json.loads(_asked(admin, "/v1/stats")), _asked(admin, "/metrics")
        return Said(
            connections=connections_of(metrics),
            pinned={str(name): int(count) for name, count in stats.get("pinned", {}).items()},
            ledger=_trouble_of(stats.get("ledger")),
            tiers=tuple(stats.get("cache", {})),
            tiers_down=tuple(name for name, tier in stats.get("cache", {}).items() if tier.get("down")),
        )
    except (OSError, http.client.HTTPException, ValueError, AttributeError, TypeError) as exc:
        return Said(f"the admin listener at {admin} does not tell: {exc or type(exc).__name__}")


def connections_of(metrics: str) -> dict[str, int]:
    """How many connections came to what, out of the text of /metrics."""
    from prometheus_client.parser import text_string_to_metric_families  # noqa: PLC0415 - --help must not wait for it

    found: dict[str, int] = {}
    for family in text_string_to_metric_families(metrics):
        if family.name == "skinflint_client_connections":
            for sample in family.samples:
                kind = sample.labels.get("kind", "")
                found[kind] = found.get(kind, 0) + int(sample.value)
    return found


def _asked(admin: str, path: str) -> str:
    host, port = split_address(reachable(admin))
    connection = http.client.HTTPConnection(host, port, timeout=_PATIENCE_S)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        text = response.read().decode()
        if response.status != 200:
            raise OSError(f"it answered {response.status} to {path}")
        return text
    finally:
        connection.close()


def _trouble_of(ledger: object) -> str | None:
    return str(ledger.get("reason")) if isinstance(ledger, dict) and ledger.get("state") != "ok" else None


def _public(trust: TrustFiles) -> tuple[Path, ...]:
    return (trust.ca.parent, trust.ca, trust.bundle, trust.truststore, trust.node_preload, trust.php_folder)


def _is_public(file: Path) -> bool:
    try:
        mode = file.stat().st_mode
    except OSError:
        return False
    needed = stat.S_IROTH | (stat.S_IXOTH if stat.S_ISDIR(mode) else 0)
    return mode & needed == needed


def _is_mount(directory: Path, proc: Path) -> bool:
    return str(directory) in _mounts(proc)


def _kind_of_mount(directory: Path, proc: Path) -> str:
    return _mounts(proc).get(str(directory), "")


def _mounts(proc: Path) -> dict[str, str]:
    """Where something is mounted, and what kind of file system."""
    try:
        lines = (proc / "self/mounts").read_text(errors="replace").splitlines()
    except OSError:
        return {}
    return {fields[1]: fields[2] for line in lines if len(fields := line.split()) > 2}


def _number(file: Path) -> int | None:
    try:
        return int(file.read_text())
    except (OSError, ValueError):
        return None
