"""What a worker tells the others of itself, and how that adds up.

Rules: it goes over a socket or through a file as JSON. Worker N's counts include those of its predecessors, which
each leaves in `totals.N`: written about twice a second, and before they are told to anybody, so that nobody ever sees
a count fall.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import orjson

from proxy.counters import Counted, Counters
from proxy.workers.samples import Family

type Fields = dict[str, object]


@dataclass(frozen=True, slots=True)
class Totals:
    """What a worker has counted, together with those that were in its place before."""

    families: list[Family] = field(default_factory=list)
    counted: Counted = field(default_factory=lambda: Counted({}))
    ledger_written: int = 0
    ledger_lost: int = 0


@dataclass(frozen=True, slots=True)
class Told:
    """A worker's state. `families` are all of it; `totals` need not repeat them. Of one that does not answer only what
    it counted is known."""

    totals: Totals
    families: list[Family] = field(default_factory=list)
    stats: Fields = field(default_factory=dict)
    ready: bool = False
    reasons: tuple[str, ...] = ()


def written(told: Told | Totals) -> bytes:
    """As JSON."""
    return orjson.dumps(told)


def read_told(text: bytes) -> Told:
    """From JSON. Raises ValueError for anything else."""
    try:
        given = orjson.loads(text)
        return Told(
            totals=_totals(given["totals"]),
            families=_families(given["families"]),
            stats=given["stats"],
            ready=given["ready"],
            reasons=tuple(given["reasons"]),
        )
    except (KeyError, TypeError) as failure:
        raise ValueError("not what a worker tells") from failure


def keep_totals(file: Path, totals: Totals) -> None:
    """Leave them for a successor. Raises OSError. Whole or not at all, but for a crash of the machine."""
    scratch = file.with_name(f"new-{file.name}")
    scratch.write_bytes(written(totals))
    scratch.replace(file)


def kept_totals(file: Path) -> Totals:
    """What was left; nothing when there is none."""
    try:
        return _totals(orjson.loads(file.read_bytes()))
    except (OSError, ValueError, KeyError, TypeError):
        return Totals()


def _totals(given: Fields) -> Totals:
    counted = given["counted"]
    assert isinstance(counted, dict)
    return Totals(
        families=_families(given["families"]),
        counted=Counted(**counted),
        ledger_written=int(str(given["ledger_written"])),
        ledger_lost=int(str(given["ledger_lost"])),
    )


def _families(given: object) -> list[Family]:
    assert isinstance(given, list)
    return [
        Family(
            each["name"],
            each["help"],
            each["kind"],
            tuple((name, tuple((key, text) for key, text in labels), value) for name, labels, value in each["samples"]),
        )
        for each in given
    ]


def stats_of_all(workers: Sequence[Told], own: Fields) -> Fields:
    """The body of /v1/stats for all workers together, in the shape of the `own` one's."""
    known = [told.stats for told in workers if told.stats]
    counters = Counters()
    for told in workers:
        counters.add(told.totals.counted)
    return {
        **own,
        "uptime_s": max(float(str(stats["uptime_s"])) for stats in known),
        "calls": counters.totals(),
        "cache": _tiers([_mapping(stats["cache"]) for stats in known]),
        "client_connections": _sum(known, "client_connections"),
        "exchanges_in_flight": _sum(known, "exchanges_in_flight"),
        "pinned": _pinned(known),
        "fleet_flights": _flights(known) if own["fleet_flights"] is not None else None,
        "upstream": _origins(known),
        "ledger": _ledger(workers) if own["ledger"] is not None else None,
        "process": _processes([_mapping(stats["process"]) for stats in known]),
    }


def _mapping(value: object) -> Fields:
    assert isinstance(value, dict)
    return value


def _sum(each: Sequence[Fields], key: str) -> int:
    return sum(int(str(fields[key])) for fields in each)


def _pinned(each: Sequence[Fields]) -> Fields:
    pinned = [_mapping(stats["pinned"]) for stats in each]
    names = dict.fromkeys(name for of_worker in pinned for name in of_worker)
    return {name: sum(int(str(of_worker.get(name, 0))) for of_worker in pinned) for name in names}


def _flights(each: Sequence[Fields]) -> Fields:
    flights = [_mapping(stats["fleet_flights"]) for stats in each]
    return {role: _sum(flights, role) for role in flights[0]}


def _tiers(caches: Sequence[Fields]) -> Fields:
    tiers: Fields = {}
    for name in dict.fromkeys(tier for cache in caches for tier in cache):
        of_workers = [_mapping(cache[name]) for cache in caches if name in cache]
        tiers[name] = {key: _both(name, key)(int(str(tier[key])) for tier in of_workers) for key in of_workers[0]}
    return tiers


def _both(tier: str, key: str) -> Callable[[Iterable[int]], int]:
    """What all share is seen by each; what each has asked is its own."""
    is_seen_by_all = tier != "memory" and key in ("entries", "used_bytes", "limit_bytes", "evicted")
    return max if is_seen_by_all or key == "down" else sum


def _origins(known: Sequence[Fields]) -> list[Fields]:
    found: dict[tuple[object, object], Fields] = {}
    for stats in known:
        origins = stats["upstream"]
        assert isinstance(origins, list)
        for use in origins:
            mine = found.setdefault((use["origin"], use["protocol"]), {**use, **dict.fromkeys(_USES, 0)})
            for key in _USES:
                mine[key] = int(str(mine[key])) + use[key]
    return list(found.values())


_USES = ("connections", "in_flight", "waiting")


def _processes(each: Sequence[Fields]) -> Fields:
    """What all hold together. What the kernel does not tell stays unknown; memory that they share counts in each."""
    both: Fields = {}
    for key, own in each[0].items():
        if isinstance(own, dict):
            both[key] = _processes([_mapping(held[key]) for held in each])
        else:
            both[key] = None if own is None else _sum(each, key)
    return both


def _ledger(workers: Sequence[Told]) -> Fields:
    ledgers = [_mapping(told.stats["ledger"]) for told in workers if told.stats]
    worst = next((ledger for ledger in ledgers if ledger["state"] != "ok"), ledgers[0])
    return {
        "state": worst["state"],
        "reason": worst["reason"],
        "queued": _sum(ledgers, "queued"),
        "written": sum(told.totals.ledger_written for told in workers),
        "lost": sum(told.totals.ledger_lost for told in workers),
    }
