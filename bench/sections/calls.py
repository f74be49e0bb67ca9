"""What the sections about whole calls share: their table, and how far the load side was from being the limit."""

from typing import Final

from bench.closed_loop import Measured
from bench.figures import ratios, spread
from bench.report import Table

CONNECTIONS: Final = 16
HEADS: Final = ("", "calls/s", "ratio to stock mitmdump", "CPU a call, µs", "p50, ms", "p99, ms")


def table(measured: dict[str, list[Measured]], base: str) -> Table:
    """A row for each contestant; ratios round by round against `base`."""
    rows = []
    for name, rounds in measured.items():
        ratio = ratios([one.rate for one in rounds], [one.rate for one in measured[base]])
        cpu = spread([one.cpu_us for one in rounds])
        rows.append(
            (
                name,
                spread([one.rate for one in rounds]).show(0),
                "1" if name == base else ratio.show(1),
                cpu.show(0) if cpu.most else "–",
                spread([one.p50_ms for one in rounds]).show(2),
                spread([one.p99_ms for one in rounds]).show(2),
            )
        )
    return Table(HEADS, tuple(rows))


def load_remark(measured: dict[str, list[Measured]], direct: str) -> str:
    """How far the load side was from being the limit."""
    busiest = max(one.load_busy for name, rounds in measured.items() if name != direct for one in rounds)
    ceiling = min(one.rate for one in measured[direct])
    return (
        f"Without a proxy, the load generator and the upstream together made {ceiling:,.0f} calls/s or more; with "
        "one, "
        f"the generator used at most {busiest:.0%} of its core. The load side was not the limit."
    )
