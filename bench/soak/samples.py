"""What the proxy holds when nothing is under way, and whether that has grown.

Rules: pure. What must be back where it was is compared exactly; where the machine or a library may keep a little, the
tolerance says how much and why.
"""

from dataclasses import dataclass
from typing import Final

from proxy.exchange.provider import Json

MIB: Final = 1024 * 1024
# The pool's clock is one for each pool, and so shows pools that a reload retired and nobody closed.
TRANSIENT: Final = (
    "exchange", "flight", "upstream call", "tunnel", "relay drain", "cache put", "dial", "upload", "look up",
    "close origin",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Stats:
    """/v1/stats, as far as it matters here."""

    resident_mib: float
    open_files: int
    threads: int
    tasks: dict[str, int]
    client_connections: int
    upstream_connections: int
    upstream_in_flight: int
    ledger_queued: int
    ledger_lost: int
    cache_bytes: int
    cache_evicted: int

    def under_way(self) -> dict[str, int]:
        """What is not at rest."""
        counts = {kind: self.tasks.get(kind, 0) for kind in TRANSIENT}
        counts["client connections"] = self.client_connections
        counts["upstream connections"] = self.upstream_connections
        counts["upstream calls"] = self.upstream_in_flight
        counts["ledger rows waiting"] = self.ledger_queued
        counts["pools besides the one in force"] = self.tasks.get("pool clock", 1) - 1
        return {name: count for name, count in counts.items() if count}


@dataclass(frozen=True, slots=True)
class Tolerance:
    """How much more than after the warm-up there may be at the end."""

    resident_mib: float  # the allocator's fragments: they level off, but not within minutes
    files: int = 3  # the ledger's journal comes and goes; a library opens its own when it first needs it
    threads: int = 4  # name lookups have a small pool of threads that grows when first needed
    other_tasks: int = 1  # the one that answers us


def growth(before: Stats, after: Stats, tolerance: Tolerance) -> list[str]:
    """What has grown by more than it may; empty when nothing leaked."""
    found = [f"{count} {name} when all was over" for name, count in after.under_way().items()]
    limits = (
        ("resident memory, MiB", before.resident_mib, after.resident_mib, tolerance.resident_mib),
        ("open files", before.open_files, after.open_files, tolerance.files),
        ("threads", before.threads, after.threads, tolerance.threads),
        ("other tasks", before.tasks.get("other", 0), after.tasks.get("other", 0), tolerance.other_tasks),
        ("ledger rows lost", 0, after.ledger_lost, 0),
    )
    for name, was, now, allowed in limits:
        if now > was + allowed:
            found.append(f"{name}: {was:g} after the warm-up, {now:g} at the end, at most {was + allowed:g} allowed")
    return found


def read_stats(body: Json) -> Stats:
    """From the JSON of /v1/stats. Raises KeyError or TypeError for what is none."""
    process, ledger = _part(body, "process"), _part(body, "ledger")
    cache = _part(_part(body, "cache"), "memory")
    upstream = body["upstream"]
    assert isinstance(upstream, list)
    return Stats(
        resident_mib=_number(process, "resident_bytes") / MIB,
        open_files=_number(process, "open_files"),
        threads=_number(process, "kernel_threads"),
        tasks={kind: int(str(count)) for kind, count in _part(process, "tasks").items()},
        client_connections=_number(body, "client_connections"),
        upstream_connections=sum(_number(use, "connections") for use in upstream),
        upstream_in_flight=sum(_number(use, "in_flight") + _number(use, "waiting") for use in upstream),
        ledger_queued=_number(ledger, "queued"),
        ledger_lost=_number(ledger, "lost"),
        cache_bytes=_number(cache, "used_bytes"),
        cache_evicted=_number(cache, "evicted"),
    )


def _part(body: Json, name: str) -> Json:
    part = body[name]
    if not isinstance(part, dict):
        raise TypeError(f"{name} is no object")
    return part


def _number(body: Json, name: str) -> int:
    return int(str(body[name]))
