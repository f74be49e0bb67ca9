"""Section: streamed answers."""

from typing import Final

from bench.contestants import NO_CACHE, Contestant, Direct, Mitmdump, Skinflint
from bench.field import Run
from bench.figures import ratios, spread
from bench.report import Check, Section, Table
from bench.streams import Plan, Streamed, run_streams

_RATE: Final = 20.0
_STREAMS: Final = 100
_MANY: Final = 1000
_CPU_RATIO: Final = 0.5
_FIRST_MS: Final = 2.0
_WARM_UP: Final = Plan(streams=20, events=10, rate=100.0, spread_s=0.1)


def run(run: Run) -> Section:
    """A hundred streams in alternating rounds, then a thousand at once."""
    ours, stock = Skinflint(settings=NO_CACHE), Mitmdump("stream")
    few = _few(run, [Direct(), ours, Skinflint("Skinflint, cache on"), stock])
    many = _many(run, [Direct(), Skinflint("Skinflint"), Mitmdump("stream")])
    cpu = ratios([one.cpu_us for one in few[ours.name]], [one.cpu_us for one in few[stock.name]])
    first = spread([one.first_p50_ms for one in few[ours.name]])
    thousand = many[ours.name]
    return Section(
        name="streams",
        title="Streams",
        method=(
            f"Server-sent events of about 300 bytes, {_RATE:.0f} a second in each stream, written one by one by the "
            "upstream with the moment of writing inside; the client reads the same clock. The delay of an event is "
            "the "
            f"time between the two. First {_STREAMS} streams at once, in alternating rounds; then {_MANY:,} at once, "
            "which is one run for each contestant. Memory of a stream: resident memory with all of them open, less "
            "that "
            "before the first connection, divided by their number; connection, TLS and buffers included."
        ),
        tables=(_few_table(few, stock.name), _many_table(many)),
        checks=(
            Check(
                f"CPU of a streamed event: at most {_CPU_RATIO} of stock mitmdump's",
                cpu.show(),
                cpu.median <= _CPU_RATIO,
            ),
            Check(f"first event: at most {_FIRST_MS:g} ms (p50)", first.show(2, " ms"), first.median <= _FIRST_MS),
            Check(
                f"{_MANY:,} streams of {_RATE:.0f} events a second on one core: nothing lost",
                f"{thousand.events:,} events, {thousand.lost} lost, {thousand.cpu_share:.0%} of the core",
                thousand.lost == 0,
            ),
        ),
        remarks=(
            (
                "Skinflint takes several events in one turn when they have piled up, so that the CPU of an event falls "
                "as the core fills; the first table is taken far from that."
            ),
            "The opening of connections is not in the CPU figures, the beginning and end of each stream is.",
        ),
    )


def _few(run: Run, contestants: list[Contestant]) -> dict[str, list[Streamed]]:
    plan = Plan(_STREAMS, run.scale.stream_events, _RATE)
    measured: dict[str, list[Streamed]] = {contestant.name: [] for contestant in contestants}
    with run.up(*contestants) as targets:
        for target in targets:
            run_streams(target, _WARM_UP, run.numbers)
        for number in range(run.scale.rounds):
            for contestant, target in zip(contestants, targets, strict=True):
                one = run_streams(target, plan, run.numbers)
                measured[contestant.name].append(one)
                run.say(f"round {number + 1}: {contestant.name}: {one.cpu_us:.1f} µs an event, p50 {one.p50_ms:.2f} ms")
    return measured


def _many(run: Run, contestants: list[Contestant]) -> dict[str, Streamed]:
    plan = Plan(_MANY, max(run.scale.stream_events, 200), _RATE)
    measured = {}
    for contestant in contestants:
        with run.up(contestant) as (target,):
            run_streams(target, _WARM_UP, run.numbers)
            one = measured[contestant.name] = run_streams(target, plan, run.numbers)
            run.say(
                f"{_MANY} streams: {contestant.name}: {one.lost} lost, {one.cpu_share:.0%} CPU, p50 {one.p50_ms:.2f} ms"
            )
    return measured


def _few_table(measured: dict[str, list[Streamed]], base: str) -> Table:
    heads = ("", "CPU an event, µs", "ratio", "first event p50, ms", "first p99, ms", "event p50, ms", "event p99, ms")
    rows = []
    for name, rounds in measured.items():
        cpu = [one.cpu_us for one in rounds]
        has_cpu = max(cpu) > 0
        ratio = ratios(cpu, [one.cpu_us for one in measured[base]]).show(2) if has_cpu and name != base else "–"
        rows.append(
            (
                name,
                spread(cpu).show(1) if has_cpu else "–",
                "1" if name == base else ratio,
                spread([one.first_p50_ms for one in rounds]).show(2),
                spread([one.first_p99_ms for one in rounds]).show(2),
                spread([one.p50_ms for one in rounds]).show(2),
                spread([one.p99_ms for one in rounds]).show(2),
            )
        )
    return Table(heads, tuple(rows))


def _many_table(measured: dict[str, Streamed]) -> Table:
    heads = (
        "1,000 at once",
        "events",
        "lost",
        "seconds",
        "CPU of the core",
        "event p50, ms",
        "event p99, ms",
        "a stream, KiB",
    )
    rows = []
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
                f"{(one.during_mib - one.before_mib) * 1024 / _MANY:.0f}" if has_cpu else "–",
            )
        )
    return Table(heads, tuple(rows))
