"""The tables of streamed answers."""

from collections.abc import Callable, Mapping, Sequence
from statistics import median
from typing import Final

from bench.figures import ratios, spread
from bench.line_plots import Line, Panel, line_svg
from bench.report import Picture, Table
from bench.sections.stream_loads import RATE, SIZES, Load, reached, verdict
from bench.streams import Plan, Streamed

type Rounds = Mapping[str, Sequence[Streamed]]  # by contestant's name
type Found = Mapping[Load, Rounds]

_DIRECT: Final = "direct"
_LEFT_OUT: Final = "left out"
_ADDED_FLOOR_MS: Final = 0.01


def load_table(load: Load, measured: Rounds, ways: Mapping[str, str], absent: Mapping[str, str], ours: str) -> Table:
    """One load in alternating rounds; with the CPU of our event over that of theirs."""
    heads = (
        load.title,
        "asked by",
        "CPU an event, µs",
        "Skinflint's, relative",
        "core",
        "first event p50, ms",
        "first p99, ms",
        "event p50, ms",
        "event p99, ms",
        "added gap p50, ms",
        "added gap p99, ms",
        "lost",
    )
    rows: list[tuple[str, ...]] = []
    for name, rounds in measured.items():
        cpu = [one.cpu_us for one in rounds]
        has_cpu = min(cpu) > 0
        ratio = ratios([one.cpu_us for one in measured[ours]], cpu).show(2) if has_cpu else "–"
        rows.append(
            (
                name,
                ways[name],
                spread(cpu).show(1) if has_cpu else "–",
                "1" if name == ours else ratio,
                f"{median([one.cpu_share for one in rounds]):.0%}" if has_cpu else "–",
                spread([one.first_p50_ms for one in rounds]).show(2),
                spread([one.first_p99_ms for one in rounds]).show(2),
                spread([one.p50_ms for one in rounds]).show(2),
                spread([one.p99_ms for one in rounds]).show(2),
                spread([one.gap_p50_ms for one in rounds]).show(2),
                spread([one.gap_p99_ms for one in rounds]).show(2),
                f"{sum(one.lost for one in rounds):,}",
            )
        )
    missing = {name: reason for name, reason in absent.items() if name not in measured}
    rows += [(name, "–", reason, *["–"] * (len(heads) - 3)) for name, reason in missing.items()]
    return Table(heads, tuple(rows))


type Figure = Callable[[Load, Sequence[Streamed]], str]


def size_tables(found: Found) -> list[Table]:
    """A table for each figure: a row for each contestant, a column for each number of streams. Medians."""
    by_size = {load: found[load] for load in [Load(size, RATE) for size in SIZES] if load in found}
    names = list(dict.fromkeys([name for rounds in by_size.values() for name in rounds]))
    tables = []
    for title, is_of_large, show in _FIGURES:
        loads = [load for load in by_size if load.is_large or not is_of_large]
        heads = (title, *[f"{load.streams:,} stream{'s' if load.streams > 1 else ''}" for load in loads])
        rows = [
            (name, *[show(load, by_size[load][name]) if name in by_size[load] else _LEFT_OUT for load in loads])
            for name in names
        ]
        tables.append(Table(heads, tuple([row for row in rows if not set(row[1:]) <= {"–", _LEFT_OUT}])))
    return tables


def _median(digits: int, figure: Callable[[Streamed], float], unit: str = "") -> Figure:
    """Of contestants that are processes: the direct way has no core and no memory."""
    return lambda load, rounds: f"{median([figure(one) for one in rounds]):,.{digits}f}{unit}" if _has(rounds) else "–"


def _pair(p50: Callable[[Streamed], float], p99: Callable[[Streamed], float]) -> Figure:
    return lambda load, rounds: " / ".join([_short(median([part(one) for one in rounds])) for part in (p50, p99)])


def _has(rounds: Sequence[Streamed]) -> bool:
    return min([one.cpu_us for one in rounds]) > 0


def _short(value: float) -> str:
    """Three digits or more."""
    return f"{value:,.{2 if value < 10 else 1 if value < 100 else 0}f}"


def stream_kib(load: Load, one: Streamed) -> float:
    """Memory of a stream."""
    return (one.during_mib - one.before_mib) * 1024 / load.streams


_FIGURES: Final[tuple[tuple[str, bool, Figure], ...]] = (  # title, whether only of many streams
    ("CPU an event, µs", False, _median(1, lambda one: one.cpu_us)),
    ("share of the proxy's core", False, _median(0, lambda one: one.cpu_share * 100, "%")),
    ("first event, p50 / p99, ms", False, _pair(lambda one: one.first_p50_ms, lambda one: one.first_p99_ms)),
    ("delay of an event, p50 / p99, ms", False, _pair(lambda one: one.p50_ms, lambda one: one.p99_ms)),
    ("added gap, p50 / p99, ms", False, _pair(lambda one: one.gap_p50_ms, lambda one: one.gap_p99_ms)),
    (
        "memory of a stream, KiB",
        True,
        lambda load, rounds: f"{median([stream_kib(load, one) for one in rounds]):.0f}" if _has(rounds) else "–",
    ),
    ("load side's core", False, lambda load, rounds: f"{median([one.load_core for one in rounds]):.0%}"),
)


def rate_table(name: str, steps: Sequence[tuple[Plan, Streamed]]) -> Table:
    """One contestant, as many streams as there are at most, faster and faster; one run each."""
    heads = (
        f"{name}, {SIZES[-1]:,} streams: events/s each",
        "asked, events/s",
        "came, events/s",
        "lost",
        "CPU an event, µs",
        "proxy's core",
        "load side's core",
        "delay p50 / p99, ms",
        "added gap p50 / p99, ms",
        "so",
    )
    rows = [
        (
            f"{plan.rate:.0f}",
            f"{plan.streams * plan.rate:,.0f}",
            f"{reached(plan, one):,.0f}",
            f"{one.lost:,}",
            f"{one.cpu_us:.1f}",
            f"{one.cpu_share:.0%}",
            f"{one.load_core:.0%}",
            f"{_short(one.p50_ms)} / {_short(one.p99_ms)}",
            f"{_short(one.gap_p50_ms)} / {_short(one.gap_p99_ms)}",
            verdict(plan, one),
        )
        for plan, one in steps
    ]
    return Table(heads, tuple(rows))


def size_picture(found: Found, ours: str) -> Picture:
    """CPU of an event, and how much later than without a proxy the slowest hundredth comes, by number of streams."""
    cpu: dict[str, list[tuple[float, float]]] = {ours: []}
    added: dict[str, list[tuple[float, float]]] = {ours: []}
    for load in [Load(size, RATE) for size in SIZES]:
        for name, rounds in found.get(load, {}).items():
            if name != _DIRECT and _has(rounds):
                cpu.setdefault(name, []).append((load.streams, median([one.cpu_us for one in rounds])))
                # Whoever failed later has fewer rounds than the direct way, or none.
                pairs = zip(rounds, found[load].get(_DIRECT, ()), strict=False)
                if late := [one.p99_ms - direct.p99_ms for one, direct in pairs]:
                    added.setdefault(name, []).append((load.streams, median(late)))
    title = "Streams: what an event costs, and how late it comes"
    panels = [
        Panel("CPU of an event, µs", _lines(cpu), 1.0),
        Panel(
            f"delay added at p99, ms ({_ADDED_FLOOR_MS:g}: that or less)",
            _lines(added),
            _ADDED_FLOOR_MS,
        ),
    ]
    return Picture(
        "benchmarks-streams-sizes.svg", title, line_svg(title, f"streams at once, {RATE:.0f} events/s each", panels)
    )


def _lines(points: Mapping[str, Sequence[tuple[float, float]]]) -> tuple[Line, ...]:
    return tuple([Line(name.partition(" (")[0], tuple(each)) for name, each in points.items() if each])
