"""Section: streamed answers."""

from typing import Final

from bench.contestants import NO_CACHE, Contestant, Direct, Skinflint
from bench.failures import BenchFailed
from bench.field import Field, Run
from bench.figures import ratios, spread
from bench.report import Check, Section
from bench.rivals.base import Rival
from bench.sections.plots import event_plot
from bench.sections.stream_tables import MANY, STREAMS, few_table, many_table
from bench.streams import Plan, Streamed, run_streams

_RATE: Final = 20.0
_CPU_RATIO: Final = 0.35
_FIRST_MS: Final = 2.0
_STREAM_KIB: Final = 40.0
_STOCK: Final = "stock mitmdump"
_WARM_UP: Final = Plan(streams=20, events=10, rate=100.0, spread_s=0.1)


def run(run: Run) -> Section:
    """A hundred streams in alternating rounds, then a thousand at once."""
    ours = Skinflint(settings=NO_CACHE)
    with run.field([Direct(), ours, Skinflint("Skinflint, cache on"), *run.rivals("stream")]) as field:
        few = _few(run, field)
    many, missing = _many(run)
    first = spread([one.first_p50_ms for one in few[ours.name]])
    return Section(
        name="streams",
        title="Streams",
        method=(
            f"Server-sent events of about 300 bytes, {_RATE:.0f} a second in each stream, written one by one by the "
            "upstream with the moment of writing inside; the client reads the same clock. The delay of an event is the "
            f"time between the two. First {STREAMS} streams at once, in alternating rounds; then {MANY:,} at once, "
            "which is one run for each contestant that can keep up with it. Memory of a stream: resident memory with "
            "all of them open, less that before the first connection, divided by their number; connection, TLS and "
            "buffers included."
        ),
        tables=(few_table(few, field, ours.name), many_table(many, missing)),
        checks=(
            _cpu_check(few, field, ours.name),
            Check(f"first event: at most {_FIRST_MS:g} ms (p50)", first.show(2, " ms"), first.median <= _FIRST_MS),
            *_thousand_checks(many[ours.name]),
        ),
        remarks=(
            (
                "Skinflint takes several events in one turn when they have piled up, so that the CPU of an event falls "
                "as the core fills; the first table is taken far from that."
            ),
            "The opening of connections is not in the CPU figures, the beginning and end of each stream is.",
            "LiteLLM writes each event anew; squid's tunnel relays TLS that it cannot read.",
        ),
        pictures=(event_plot("streams", "CPU of a streamed event", few, ours.name, _CPU_RATIO),),
    )


def _few(run: Run, field: Field) -> dict[str, list[Streamed]]:
    plan = Plan(STREAMS, run.scale.stream_events, _RATE)
    measured: dict[str, list[Streamed]] = {entrant.name: [] for entrant in field.entrants}
    for number in range(run.scale.rounds + 1):  # the first one warms up
        for entrant in list(field.entrants):
            try:
                one = run_streams(entrant.target, plan if number else _WARM_UP, run.numbers)
            except (BenchFailed, OSError) as failure:
                run.drop(field, entrant, failure)
                measured.pop(entrant.name)
                continue
            if number:
                measured[entrant.name].append(one)
                run.say(f"round {number}: {entrant.name}: {one.cpu_us:.1f} µs an event, p50 {one.p50_ms:.2f} ms")
    return measured


def _many(run: Run) -> tuple[dict[str, Streamed], dict[str, str]]:
    """One contestant after another; with it, why some are not there."""
    plan = Plan(MANY, max(run.scale.stream_events, 200), _RATE)
    measured, missing = {}, {}
    contestants: list[Contestant] = [Direct(), Skinflint()]
    for rival in run.rivals("stream"):
        if isinstance(rival, Rival) and not rival.takes_many_streams:
            missing[rival.name] = "left out: the first table's events fill its core"
        else:
            contestants.append(rival)
    for contestant in contestants:
        with run.field([contestant]) as field:
            for entrant in list(field.entrants):
                try:
                    run_streams(entrant.target, _WARM_UP, run.numbers)
                    one = measured[entrant.name] = run_streams(entrant.target, plan, run.numbers)
                    run.say(f"{MANY} streams: {entrant.name}: {one.lost} lost, {one.cpu_share:.0%} CPU")
                except (BenchFailed, OSError) as failure:
                    run.drop(field, entrant, failure)
            missing |= field.absent
    return measured, missing


def _cpu_check(few: dict[str, list[Streamed]], field: Field, ours: str) -> Check:
    target = f"CPU of a streamed event: at most {_CPU_RATIO:g} of {_STOCK}'s"
    if _STOCK not in few:
        return Check(target, f"not measured: {field.absent.get(_STOCK, 'left out')}", None)
    cpu = ratios([one.cpu_us for one in few[ours]], [one.cpu_us for one in few[_STOCK]])
    return Check(target, cpu.show(), cpu.median <= _CPU_RATIO)


def _thousand_checks(thousand: Streamed) -> tuple[Check, Check]:
    kib = (thousand.during_mib - thousand.before_mib) * 1024 / MANY
    return (
        Check(
            f"{MANY:,} streams of {_RATE:.0f} events a second on one core: nothing lost",
            f"{thousand.events:,} events, {thousand.lost} lost, {thousand.cpu_share:.0%} of the core",
            thousand.lost == 0,
        ),
        Check(f"memory of a stream: at most {_STREAM_KIB:.0f} KiB", f"{kib:.0f} KiB", kib <= _STREAM_KIB),
    )
