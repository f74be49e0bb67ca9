"""Section: what a call costs when there is much of something: connections, cached answers, labels."""

import itertools
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from bench.closed_loop import Loop, Measured
from bench.contestants import Skinflint, metric
from bench.field import Run
from bench.figures import Spread, ratios, spread
from bench.growth_plot import Line, Panel, plot
from bench.report import Check, Picture, Section, Table
from bench.target import Target
from bench.work import Requests

_CONNECTIONS: Final = 16
_MAX_GROWTH: Final = 1.3
_PLURAL: Final = {"hit": "hits", "miss": "misses"}
_WARM_UP_S: Final = 1.0
_ROUND_S: Final = 1.0  # CPU of a call needs no more than that
_PATIENT: Final = "limits.client_head_s=600"  # thousands of connections are opened before the first one is used
_CACHE_BYTES: Final = 4 * 1024**3
_STEP: Final = 10_000  # answers that come with one call
_FILL_S: Final = 600.0  # at most


@dataclass(frozen=True, slots=True)
class Axis:
    """One thing that grows, and how a proxy with so much of it is asked."""

    name: str
    unit: str
    sizes: tuple[int, ...]


AXES: Final = (
    Axis("connections", "connections, all of them asking", (1, 10, 100, 500, 2_000)),
    Axis("entries", "answers in the cache", (1_000, 10_000, 100_000, 1_000_000)),
    Axis("labels", "values of one label", (1, 100, 1_000, 10_000)),
)


class Labelled(Requests):
    """Calls that take turns at so many values of the label `app`; Skinflint keeps the field to itself."""

    def __init__(self, values: int) -> None:
        super().__init__()
        self._turns = itertools.cycle(range(values))

    def make(self, number: int) -> bytes:
        head, _, rest = super().make(number).partition(b"\r\n")
        return b"%s\r\nx-skinflint-label-app: label-%06d\r\n%s" % (head, next(self._turns), rest)


type Found = dict[tuple[str, str], dict[int, list[Measured]]]  # axis and kind of call; size; rounds


def run(run: Run) -> Section:
    """Each axis by itself; sizes in alternating rounds where one process serves them all."""
    found: Found = {}
    sizes = {axis.name: _sizes(run, axis) for axis in AXES}
    _connections(run, sizes["connections"], found)
    _entries(run, sizes["entries"], found)
    _labels(run, sizes["labels"], found)
    return _section(found)


def _sizes(run: Run, axis: Axis) -> tuple[int, ...]:
    """Quick runs leave the largest number of entries out: it takes a gigabyte."""
    is_quick = run.scale.rounds < 3
    return axis.sizes[:-1] if is_quick and axis.name == "entries" else axis.sizes


def _connections(run: Run, sizes: Sequence[int], found: Found) -> None:
    with run.up(Skinflint(settings=(_PATIENT,))) as (target,):
        for kind in ("hit", "miss"):
            _rounds(run, found, "connections", sizes, lambda size: (target, size, Requests()), (kind,))


def _labels(run: Run, sizes: Sequence[int], found: Found) -> None:
    with run.up(Skinflint()) as (target,):
        _rounds(run, found, "labels", sizes, lambda size: (target, _CONNECTIONS, Labelled(size)), ("hit",))


def _entries(run: Run, sizes: Sequence[int], found: Found) -> None:
    """A process for each size, one after another: a million entries take their memory."""
    for size in sizes:
        limit = f"cache.memory.max_bytes={_CACHE_BYTES}"
        with run.up(Prefilled(settings=(limit,), entries=size)) as (target,):
            looks = itertools.islice(run.numbers, size // _STEP + 1)  # misses: each of them looks, and fills a part
            with Loop(target, 1, Requests(), looks) as filling:
                filling.run(_FILL_S)
            run.say(f"the cache holds {metric(target.admin or '', 'skinflint_cache_entries'):,.0f} answers")
            for kind in ("hit", "miss"):
                _rounds(run, found, "entries", (size,), lambda _: (target, _CONNECTIONS, Requests()), (kind,))


@dataclass(slots=True)
class Prefilled(Skinflint):
    """Ourselves, with so many answers in the cache; see bench/prefilled.py."""

    entries: int = 0

    def program(self) -> list[str]:
        return [sys.executable, "-m", "bench.prefilled", str(self.entries), str(_STEP)]


def _rounds(
    run: Run,
    found: Found,
    axis: str,
    sizes: Sequence[int],
    how: Callable[[int], tuple[Target, int, Requests]],
    kinds: Sequence[str],
) -> None:
    """Rounds that visit all sizes in turn, after a warm-up of each."""
    loops: dict[tuple[int, str], Loop] = {}
    try:
        for size in sizes:
            for kind in kinds:
                target, connections, requests = how(size)
                numbers: Iterator[int] = itertools.repeat(0) if kind == "hit" else run.numbers
                loop = loops[size, kind] = Loop(target, connections, requests, numbers)
                loop.run(min(_WARM_UP_S, run.scale.seconds))
        for number in range(run.scale.rounds):
            for (size, kind), loop in loops.items():
                one = loop.run(min(_ROUND_S, run.scale.seconds))
                found.setdefault((axis, kind), {}).setdefault(size, []).append(one)
                run.say(f"round {number + 1}: {size:,} {axis}, {kind}: {one.cpu_us:.0f} µs a call")
    finally:
        for loop in loops.values():
            loop.close()


def _growth(by_size: dict[int, list[Measured]]) -> Spread:
    """CPU of a call at the largest size over that at the cheapest one, round by round."""
    cheapest = min(by_size.values(), key=lambda rounds: spread([one.cpu_us for one in rounds]).median)
    return ratios([one.cpu_us for one in by_size[max(by_size)]], [one.cpu_us for one in cheapest])


def _panels(found: Found) -> list[Panel]:
    panels = []
    for axis in AXES:
        lines = [
            Line(kind, tuple((size, spread([one.cpu_us for one in rounds])) for size, rounds in by_size.items()))
            for (name, kind), by_size in found.items()
            if name == axis.name
        ]
        panels.append(Panel(axis.unit, tuple(lines)))
    return panels


def _section(found: Found) -> Section:
    tables, checks = [], []
    for axis in AXES:
        kinds = [kind for name, kind in found if name == axis.name]
        sizes = list(found[axis.name, kinds[0]])
        rows = []
        for kind in kinds:
            by_size = found[axis.name, kind]
            cells = [spread([one.cpu_us for one in by_size[size]]).show(0) for size in sizes]
            grown = _growth(by_size)
            rows.append((f"{kind}, CPU a call, µs", *cells))
            checks.append(
                Check(
                    f"{_PLURAL[kind]} with {max(sizes):,} {axis.unit.partition(',')[0]}: at most {_MAX_GROWTH:g} times "
                    "the CPU of the cheapest number of them",
                    grown.show(),
                    grown.median <= _MAX_GROWTH,
                )
            )
        tables.append(Table((axis.unit, *[f"{size:,}" for size in sizes]), tuple(rows)))
    return Section(
        name="growth",
        title="Growth",
        method=(
            "CPU of a call while one thing grows and all else stays: connections that all ask in a closed loop; "
            f"answers in the cache ({_CONNECTIONS} connections; the cache is filled in the process itself, when it is "
            "first looked into, as a million calls would take too long); values of a label that calls are counted "
            "under. It must stay flat."
        ),
        tables=tuple(tables),
        checks=tuple(checks),
        remarks=(
            (
                "With few connections each call is a turn of the event loop by itself; many share one, and the system "
                "calls with it. So the cost falls before it is flat."
            ),
        ),
        pictures=(Picture("growth.svg", "CPU of a call", plot(_panels(found))),),
    )
