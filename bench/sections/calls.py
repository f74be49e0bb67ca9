"""What the sections about whole calls share: their tables, their targets, and how far the load side was the limit."""

from collections.abc import Mapping, Sequence
from typing import Final

from bench.closed_loop import Measured
from bench.field import Field
from bench.figures import ratios, spread
from bench.report import Check, Table

CONNECTIONS: Final = 16
_FULL_CORE: Final = 0.9

type Rounds = Mapping[str, Sequence[Measured]]


def table(title: str, measured: Rounds, field: Field, ours: str) -> Table:
    """A row for each contestant, with how many calls Skinflint makes in the time of one of its calls."""
    heads = (title, "asked by", "calls/s", "Skinflint's, relative", "CPU a call, µs", "core", "p50, ms", "p99, ms")
    rows: list[tuple[str, ...]] = []
    for name, rounds in measured.items():
        cpu = spread([one.cpu_us for one in rounds])
        rows.append(
            (
                name,
                field.ways[name],
                spread([one.rate for one in rounds]).show(0),
                "1" if name == ours else _relative(measured, ours, name),
                cpu.show(0) if cpu.most else "–",
                f"{spread([one.core for one in rounds]).median:.0%}" if cpu.most else "–",
                spread([one.p50_ms for one in rounds]).show(2),
                spread([one.p99_ms for one in rounds]).show(2),
            )
        )
    absent = {name: reason for name, reason in field.absent.items() if name not in measured}
    rows += [(name, "–", reason, *["–"] * (len(heads) - 3)) for name, reason in absent.items()]
    return Table(heads, tuple(rows))


def _relative(measured: Rounds, ours: str, name: str) -> str:
    ratio = ratios([one.rate for one in measured[ours]], [one.rate for one in measured[name]])
    return f"{ratio.show(2 if ratio.median < 1 else 1)}"


def rate_checks(what: str, targets: Mapping[str, float], measured: Rounds, field: Field, ours: str) -> list[Check]:
    """`targets`: what our calls over theirs must be at least, by contestant's name."""
    return [_rate_check(what, name, least, measured, field, ours) for name, least in targets.items()]


def _rate_check(what: str, name: str, least: float, measured: Rounds, field: Field, ours: str) -> Check:
    target = f"{what}: at least {least:g} times {name}"
    if name not in measured:
        return Check(target, f"not measured: {field.absent.get(name, 'left out')}", None)
    ratio = ratios([one.rate for one in measured[ours]], [one.rate for one in measured[name]])
    return Check(target, ratio.show(2), ratio.median >= least)


def load_remark(measured: Rounds, direct: str) -> str:
    """How far the load side was from being the limit, and for whom it was one."""
    with_proxy = {name: rounds for name, rounds in measured.items() if name != direct}
    busiest = max(one.load_busy for rounds in with_proxy.values() for one in rounds)
    ceiling = min(one.rate for one in measured[direct])
    idle = [name for name, rounds in with_proxy.items() if spread([one.core for one in rounds]).median < _FULL_CORE]
    told = (
        f"Without a proxy, the load generator and the upstream together made {ceiling:,.0f} calls/s or more; with "
        f"one, the generator used at most {busiest:.0%} of its core. "
    )
    if idle:
        return told + (
            f"{'; '.join(idle)} left more than a tenth of their core idle: their calls/s are what the upstream, the "
            "generator, waiting or other programs of the machine let through, a lower bound of what they can do."
        )
    return told + "The load side was not the limit."
