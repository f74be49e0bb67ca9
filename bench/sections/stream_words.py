"""What the streams section says beside its tables: the terms, the targets, and what the figures do not show."""

from collections.abc import Mapping, Sequence
from typing import Final

from bench.figures import ratios
from bench.report import Check
from bench.sections.stream_loads import FAST, FEW, RATE, RATES, SIZES, Load, keeps_up, reached, verdict
from bench.sections.stream_tables import Found, Rounds, stream_kib
from bench.streams import Plan, Streamed

CPU_RATIO: Final = 0.35
STOCK: Final = "stock mitmdump"
_STREAM_KIB: Final = 40.0
_PROMISED: Final = Load(1_000, RATE)

METHOD: Final = f"""Server-sent events of about 300 bytes. The upstream writes each of them by itself, when it is due, \
with the moment of writing inside; the client reads the same clock. There are three questions: what {FEW} streams cost \
at {RATE:.0f} and at {FAST:.0f} events a second (the first two tables), how that changes from {SIZES[0]} to \
{SIZES[-1]:,} streams (one table for each figure, and the second picture), and how fast {SIZES[-1]:,} streams can be \
(the last table). The terms:

- **First event**: from the sending of the request until the first event is read.
- **Delay** of an event: from its writing by the upstream until it is read by the client.
- **Added gap**: how far the time between two successive events of a stream is from what it was at the upstream, be it \
longer or shorter. Who delays all events alike adds no gap; who collects them and sends several at once does.
- **Share of the core**: of the one core that the proxy has. **Load side's core**: of the other one, on which the load \
generator and the upstream are; where that is full, it is not the proxy that is measured.
- **Memory of a stream**: resident memory with all streams open, less that before the first connection, divided by \
their number; connection, TLS and buffers included.

Up to {FEW} streams, all contestants are up and take turns in rounds; with more, each has a fresh process, for two \
rounds of {SIZES[3]} streams and one longer run of {SIZES[4]:,} and of {SIZES[5]:,}, so that small differences there \
mean nothing. Whose events come 100 ms late at the median, two events' time, has no part in heavier loads."""


def cpu_check(main: Rounds, absent: Mapping[str, str], ours: str) -> Check:
    """Beside stock mitmdump."""
    target = f"CPU of a streamed event: at most {CPU_RATIO:g} of {STOCK}'s"
    if STOCK not in main:
        return Check(target, f"not measured: {absent.get(STOCK, 'left out')}", None)
    cpu = ratios([one.cpu_us for one in main[ours]], [one.cpu_us for one in main[STOCK]])
    return Check(target, cpu.show(), cpu.median <= CPU_RATIO)


def large_checks(found: Found, ours: str) -> list[Check]:
    """Nothing lost, and the memory of a stream."""
    (promised,) = found[_PROMISED][ours]
    (most,) = found[Load(SIZES[-1], RATE)][ours]
    kib = stream_kib(_PROMISED, promised)
    return [
        *[
            Check(
                f"{streams:,} streams of {RATE:.0f} events a second on one core: nothing lost",
                f"{one.events:,} events, {one.lost:,} lost, {one.cpu_share:.0%} of the core",
                one.lost == 0,
            )
            for streams, one in ((_PROMISED.streams, promised), (SIZES[-1], most))
        ],
        Check(f"memory of a stream: at most {_STREAM_KIB:.0f} KiB", f"{kib:.0f} KiB", kib <= _STREAM_KIB),
    ]


def lost_remark(found: Found) -> str:
    """Over all loads and contestants."""
    events, lost = 0, dict[str, int]()
    for rounds in found.values():
        for name, each in rounds.items():
            events += sum(one.events for one in each)
            lost[name] = lost.get(name, 0) + sum(one.lost for one in each)
    told = ", ".join([f"{name} {count:,}" for name, count in lost.items() if count]) or "none, by anybody"
    return f"Events lost, of {events:,} that were read in all loads together: {told}."


def ceiling_remark(name: str, steps: Sequence[tuple[Plan, Streamed]]) -> str:
    """The highest rate that was kept up with, and what was in the way of the next one."""
    good = [place for place, step in enumerate(steps) if keeps_up(*step)]
    at_most, after = "none of these rates", steps
    if good:
        plan, one = steps[good[-1]]
        at_most = f"{plan.rate:.0f} events/s each, {reached(plan, one):,.0f} together"
        after = steps[good[-1] + 1 :]
    told = f"The highest rate of {SIZES[-1]:,} streams that {name} kept up with: {at_most}."
    if not after:
        return told
    plan, one = after[0]
    untried = [f"{rate:.0f}" for rate in RATES if rate > after[-1][0].rate]
    rest = f" Not tried after two that were too fast: {', '.join(untried)}." if untried else ""
    return f"{told} At {plan.rate:.0f}: {verdict(plan, one)}; {one.lost:,} lost.{rest}"


def other_remarks(absent: Mapping[str, str]) -> list[str]:
    """What the figures do not show."""
    return [
        (
            "Skinflint takes several events in one turn when they have piled up, so that the CPU of an event falls as "
            "the core fills. With one stream, what a process does when it is idle (timers, the ledger) is counted in "
            "its few events too."
        ),
        "The opening of connections is not in the CPU figures, the beginning and end of each stream is.",
        "LiteLLM writes each event anew; squid's tunnel relays TLS that it cannot read.",
        *[f"{name}: {reason}." for name, reason in absent.items()],
    ]
