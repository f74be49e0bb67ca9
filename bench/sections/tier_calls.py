"""Of the section `tiers`: whole calls that are hits in one tier, and calls that miss all of them."""

import dataclasses
import itertools
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from bench.closed_loop import Loop, Measured
from bench.contestants import Skinflint
from bench.field import Field, Run
from bench.figures import differences, ratios, spread
from bench.report import Table
from bench.sections.calls import CONNECTIONS, Rounds
from bench.tiers.redis_server import MISSING, RedisServer
from bench.tiers.told import look
from bench.work import ANSWER_BYTES, Requests

MEMORY: Final = "memory"
CHAIN: Final = "memory, through the chain"
MISSES_ALL: Final = "memory, disk"  # as it is installed
SIZES: Final = (ANSWER_BYTES, 10 * 1024)

_SHARED: Final = "shared by two workers, opened lately"
_OPENED: Final = "shared by two workers, stored by one and opened by either"
_TCP: Final = "Redis, loopback"
_UNIX: Final = "Redis, Unix socket"
_DISK: Final = "disk"
_ANSWERS: Final = 512  # that are asked for by turns: more than two workers keep opened of the small arena
_NO_MEMORY: Final = "cache.memory.max_bytes=0"
NO_DISK: Final = "cache.disk.max_bytes=0"
_NO_REPEATS: Final = "cache.memory.repeats_max_bytes=0"
_SMALL_ARENA: Final = "cache.memory.max_bytes=8388608"  # a sixteenth of it is what both workers keep opened
WRITTEN_S: Final = 1.0  # until what was stored is in the outer tier: nothing is waited for there
_FILL_S: Final = 60.0
_SHARE: Final = 0.2  # of the usual seconds of a round


@dataclass(frozen=True, slots=True)
class Calls:
    """Rounds by contestant; calls that were hits, of all that were asked; why others are not there."""

    many: dict[int, Rounds]  # by size of the answer, CONNECTIONS connections
    one: Rounds  # the smallest answer, one connection
    hits: dict[str, tuple[int, int]]
    absent: dict[str, str]


def hits(run: Run, redis: RedisServer | None) -> Calls:
    """The same answers by turns, from each tier alone."""
    contestants = [
        Skinflint(MEMORY, (NO_DISK,)),
        Skinflint(CHAIN, (NO_DISK, _NO_REPEATS)),
        Skinflint(_SHARED, (NO_DISK, _NO_REPEATS, "workers=2")),
        Skinflint(_OPENED, (NO_DISK, _NO_REPEATS, _SMALL_ARENA, "workers=2")),
        Skinflint(_DISK, (_NO_MEMORY,)),
    ]
    if redis is not None:
        for name, url in ((_TCP, redis.tcp_url()), (_UNIX, redis.unix_url())):
            settings = (_NO_MEMORY, NO_DISK, f"cache.redis.url={url}", f"cache.redis.prefix=bench-{len(contestants)}")
            contestants.append(Skinflint(name, settings))
    found: dict[str, tuple[int, int]] = {}
    with run.field(contestants) as field:
        many = {size: _rounds(run, field, CONNECTIONS, size, found) for size in SIZES}
        one = _rounds(run, field, 1, ANSWER_BYTES, found)
    return Calls(many, one, found, {} if redis is not None else {_TCP: f"not measured: {MISSING}", _UNIX: "–"})


def _rounds(run: Run, field: Field, connections: int, size: int, found: dict[str, tuple[int, int]]) -> Rounds:
    """Fill by one connection, and so by one worker; then ask."""
    for place, entrant in enumerate(field.entrants):
        with Loop(entrant.target, 1, Requests(answer_bytes=size), iter(range(_ANSWERS))) as filling:
            filling.run(_FILL_S)
        field.entrants[place] = dataclasses.replace(entrant, numbers=itertools.cycle(range(_ANSWERS)))
    time.sleep(WRITTEN_S)
    before = {entrant.name: look(entrant.target.admin) for entrant in field.entrants}
    requests = Requests(answer_bytes=size)
    measured = run.compare(field, connections, lambda _: requests, seconds=run.scale.seconds * _SHARE)
    for entrant in field.entrants:
        after = look(entrant.target.admin)
        good, total = found.get(entrant.name, (0, 0))
        good += after.count("hit") - before[entrant.name].count("hit")
        total += after.count("total") - before[entrant.name].count("total")
        found[entrant.name] = (good, total)
    return measured


def hit_tables(calls: Calls) -> tuple[Table, ...]:
    """A row for each tier; ratios are to memory by the short way, and through the chain."""
    tables = []
    for size, rounds in calls.many.items():
        heads: tuple[str, ...] = (
            f"hits of {size // 1024} KB, {CONNECTIONS} connections",
            "calls/s",
            "to memory",
            "to memory through the chain",
            "CPU a call, µs",
            "core",
        )
        rows: list[tuple[str, ...]] = [(name, *_cells(name, rounds)) for name in rounds]
        tables.append(with_absent(heads, rows, calls.absent))
    heads = (f"hits of {ANSWER_BYTES // 1024} KB, one connection", "p50, ms", "p50, to memory", "p99, ms", "hits")
    rows = [
        (
            name,
            spread(_p50(each)).show(3),
            "1" if name == MEMORY else ratios(_p50(each), _p50(calls.one[MEMORY])).show(2),
            spread([one.p99_ms for one in each]).show(3),
            hit_words(*calls.hits[name]),
        )
        for name, each in calls.one.items()
    ]
    tables.append(with_absent(heads, rows, calls.absent))
    return tuple(tables)


def hit_words(good: int, total: int) -> str:
    """`all`, or how many were not."""
    return "all" if good == total else f"all but {total - good:,} of {total:,}"


def _cells(name: str, rounds: Rounds) -> tuple[str, ...]:
    rates = [one.rate for one in rounds[name]]
    return (
        spread(rates).show(0),
        *[
            "1" if name == other else ratios(rates, [one.rate for one in rounds[other]]).show(2)
            for other in (MEMORY, CHAIN)
        ],
        spread([one.cpu_us for one in rounds[name]]).show(0),
        f"{spread([one.core for one in rounds[name]]).median:.0%}",
    )


def with_absent(heads: tuple[str, ...], rows: Sequence[tuple[str, ...]], absent: Mapping[str, str]) -> Table:
    """The table, and a row with the reason for each that is not there."""
    more = [(name, reason, *["–"] * (len(heads) - 2)) for name, reason in absent.items()]
    return Table(heads, (*rows, *more))


def _p50(rounds: Sequence[Measured]) -> list[float]:
    return [one.p50_ms for one in rounds]


# -- calls that miss


@dataclass(frozen=True, slots=True)
class Misses:
    """Rounds by what tiers there are."""

    many: Rounds
    one: Rounds
    absent: dict[str, str]


def misses(run: Run, redis: RedisServer | None) -> Misses:
    """Calls that all differ, by what tiers there are."""
    contestants = [Skinflint(MEMORY, (NO_DISK,)), Skinflint(MISSES_ALL)]
    absent: dict[str, str] = {}
    if redis is not None:
        url = f"cache.redis.url={redis.tcp_url()}"
        contestants += [
            Skinflint("memory, Redis", (NO_DISK, url, "collapse.fleet=false")),
            Skinflint("memory, Redis, disk, flights led across replicas", (url,)),
        ]
    else:
        absent = {"with Redis": f"not measured: {MISSING}"}
    seconds = run.scale.seconds * _SHARE
    with run.field(contestants) as field:
        many = run.compare(field, CONNECTIONS, lambda _: Requests(), seconds=seconds)
        one = run.compare(field, 1, lambda _: Requests(), seconds=seconds)
    return Misses(many, one, absent)


def miss_table(found: Misses) -> Table:
    """What each tier adds to a call that none of them can answer."""
    heads = ("misses of 1 KB, tiers", "CPU a call, µs", "added, µs", "p50 alone, ms", "added, ms")
    rows = [(name, *_added(name, found.many, found.one)) for name in found.many]
    return with_absent(heads, rows, found.absent)


def _added(name: str, many: Rounds, one: Rounds) -> tuple[str, ...]:
    cpu = {each: [round_.cpu_us for round_ in many[each]] for each in (name, MEMORY)}
    p50 = {each: _p50(one[each]) for each in (name, MEMORY)}
    cells = []
    for figures, digits in ((cpu, 0), (p50, 3)):
        cells.append(spread(figures[name]).show(digits))
        cells.append("–" if name == MEMORY else differences(figures[name], figures[MEMORY]).show(digits))
    return tuple(cells)
