"""The tables of streamed answers."""

from collections.abc import Mapping, Sequence
from typing import Final

from bench.field import Field
from bench.figures import ratios, spread
from bench.report import Table
from bench.streams import Streamed

STREAMS: Final = 100
MANY: Final = 1000


def few_table(measured: Mapping[str, Sequence[Streamed]], field: Field, ours: str) -> Table:
    """Streams in alternating rounds; with the CPU of our event over that of theirs."""
    heads = (
        f"{STREAMS} at once",
        "asked by",
        "CPU an event, µs",
        "Skinflint's, relative",
        "first event p50, ms",
        "first p99, ms",
        "event p50, ms",
        "event p99, ms",
    )
    rows: list[tuple[str, ...]] = []
    for name, rounds in measured.items():
        cpu = [one.cpu_us for one in rounds]
        has_cpu = min(cpu) > 0
        ratio = ratios([one.cpu_us for one in measured[ours]], cpu).show(2) if has_cpu else "–"
        rows.append(
            (
                name,
                field.ways[name],
                spread(cpu).show(1) if has_cpu else "–",
                "1" if name == ours else ratio,
                spread([one.first_p50_ms for one in rounds]).show(2),
                spread([one.first_p99_ms for one in rounds]).show(2),
                spread([one.p50_ms for one in rounds]).show(2),
                spread([one.p99_ms for one in rounds]).show(2),
            )
        )
    rows += [(name, "–", reason, *["–"] * (len(heads) - 3)) for name, reason in field.absent.items()]
    return Table(heads, tuple(rows))


def many_table(measured: Mapping[str, Streamed], missing: Mapping[str, str]) -> Table:
    """One run each."""
    heads = (
        f"{MANY:,} at once",
        "events",
        "lost",
        "seconds",
        "CPU of the core",
        "event p50, ms",
        "event p99, ms",
        "a stream, KiB",
    )
    rows: list[tuple[str, ...]] = []
    for name, one in measured.items():
        has_cpu = one.cpu_share > 0
        rows.append(
            (
                name,
                f"{one.events:,}",
                f"{one.lost:,}",
                f"{one.seconds:.1f}",
                f"{one.cpu_share:.0%}" if has_cpu else "–",
                f"{one.p50_ms:,.1f}",
                f"{one.p99_ms:,.1f}",
                f"{(one.during_mib - one.before_mib) * 1024 / MANY:.0f}" if has_cpu else "–",
            )
        )
    rows += [(name, reason, *["–"] * (len(heads) - 2)) for name, reason in missing.items()]
    return Table(heads, tuple(rows))
