"""Section: streamed answers."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from bench.contestants import NO_CACHE, Contestant, Direct, Skinflint
from bench.failures import BenchFailed
from bench.field import Entrant, Field, Run
from bench.figures import spread
from bench.report import Check, Section
from bench.sections.plots import event_plot
from bench.sections.stream_loads import FAST, FEW, LOADS, RATE, RATES, SIZES, Load, keeps_up, why_left_out
from bench.sections.stream_tables import load_table, rate_table, size_picture, size_tables
from bench.sections.stream_words import (
    CPU_RATIO,
    METHOD,
    ceiling_remark,
    cpu_check,
    large_checks,
    lost_remark,
    other_remarks,
)
from bench.streams import Plan, Streamed, run_streams

_FIRST_MS: Final = 2.0
_STORING: Final = "Skinflint, cache on"
_WARM_UP: Final = Plan(streams=20, events=10, rate=100.0, spread_s=0.1)
_MAIN: Final = Load(FEW, RATE)

type Found = dict[Load, dict[str, list[Streamed]]]


@dataclass(slots=True)
class _Story:
    """What came of each load, and who is not there for which reason."""

    found: Found = field(default_factory=dict)
    ways: dict[str, str] = field(default_factory=dict)
    absent: dict[str, str] = field(default_factory=dict)


def run(run: Run) -> Section:
    """Lighter loads in rounds of all contestants side by side, heavier ones with a fresh process each."""
    ours, story = Skinflint(settings=NO_CACHE), _Story()
    contestants: list[Contestant] = [Direct(), ours, Skinflint(_STORING), *run.rivals("stream")]
    with run.field(contestants) as field:
        story.ways |= field.ways
        for load in [load for load in LOADS if not load.is_large]:
            _side_by_side(run, field, load, story)
        story.absent |= field.absent
    for load in [load for load in LOADS if load.is_large]:
        _one_by_one(run, load, story)
    return _section(story, _faster(run, ours), ours.name)


def _takes_part(name: str, load: Load, story: _Story) -> bool:
    """With the cache on, only the load of the first table is measured."""
    return name not in story.absent and (name != _STORING or load == _MAIN)


def _side_by_side(run: Run, field: Field, load: Load, story: _Story) -> None:
    story.absent |= field.absent
    entrants = [entrant for entrant in field.entrants if _takes_part(entrant.name, load, story)]
    for number in range(load.rounds(run.scale) + 1):  # the first one warms up
        for entrant in list(entrants):
            if not _measure(run, field, entrant, load if number else None, story):
                entrants.remove(entrant)
    _leave_out(load, story)


def _one_by_one(run: Run, load: Load, story: _Story) -> None:
    for _ in range(load.rounds(run.scale)):
        contestants: list[Contestant] = [Direct(), Skinflint(settings=NO_CACHE), *run.rivals("stream")]
        for contestant in contestants:
            if not _takes_part(contestant.name, load, story):
                continue
            with run.field([contestant]) as field:
                for entrant in list(field.entrants):
                    if _measure(run, field, entrant, None, story):
                        _measure(run, field, entrant, load, story)
                story.absent |= field.absent
    _leave_out(load, story)


def _measure(run: Run, field: Field, entrant: Entrant, load: Load | None, story: _Story) -> bool:
    """One round of a load, or a warm-up. False when a rival failed; anyone else's failure is raised."""
    try:
        one = run_streams(entrant.target, load.plan(run.scale) if load else _WARM_UP, run.numbers, run.upstream.pid)
    except (BenchFailed, OSError) as failure:
        run.drop(field, entrant, failure)
        story.absent |= field.absent
        if load:
            story.found.get(load, {}).pop(entrant.name, None)
        return False
    if load:
        story.found.setdefault(load, {}).setdefault(entrant.name, []).append(one)
        run.say(
            f"{load.title}: {entrant.name}: {one.cpu_us:.1f} µs an event, p50 {one.p50_ms:.2f} ms, "
            f"{one.cpu_share:.0%} and {one.load_core:.0%} of the cores"
        )
    return True


def _leave_out(load: Load, story: _Story) -> None:
    """Rivals that could not keep up have no part in heavier loads."""
    for name, rounds in story.found[load].items():
        if (reason := why_left_out(load, rounds)) and not name.startswith(("direct", "Skinflint")):
            story.absent[name] = reason


def _faster(run: Run, ours: Skinflint) -> list[tuple[Plan, Streamed]]:
    """As many streams as there are at most, faster and faster, until two rates running were too fast."""
    steps: list[tuple[Plan, Streamed]] = []
    with run.up(Skinflint(settings=NO_CACHE)) as (target,):
        run_streams(target, _WARM_UP, run.numbers, run.upstream.pid)
        for rate in RATES:
            plan = Load(SIZES[-1], rate).plan(run.scale)
            steps.append((plan, run_streams(target, plan, run.numbers, run.upstream.pid)))
            run.say(f"{ours.name}, {plan.streams:,} streams, {rate:.0f} events/s each: {steps[-1][1].cpu_share:.0%}")
            if len(steps) > 1 and not any(keeps_up(*step) for step in steps[-2:]):
                break
    return steps


def _section(story: _Story, steps: Sequence[tuple[Plan, Streamed]], ours: str) -> Section:
    main = story.found[_MAIN]
    by_size = {
        load: {name: rounds for name, rounds in measured.items() if name != _STORING}
        for load, measured in story.found.items()
    }
    first = spread([one.first_p50_ms for one in main[ours]])
    tables = [load_table(load, story.found[load], story.ways, story.absent, ours) for load in (_MAIN, Load(FEW, FAST))]
    return Section(
        name="streams",
        title="Streams",
        method=METHOD,
        tables=(*tables, *size_tables(by_size), rate_table(ours, steps)),
        checks=(
            cpu_check(main, story.absent, ours),
            Check(f"first event: at most {_FIRST_MS:g} ms (p50)", first.show(2, " ms"), first.median <= _FIRST_MS),
            *large_checks(story.found, ours),
        ),
        remarks=(lost_remark(story.found), ceiling_remark(ours, steps), *other_remarks(story.absent)),
        pictures=(
            event_plot("streams", "CPU of a streamed event", main, ours, CPU_RATIO),
            size_picture(by_size, ours),
        ),
    )
