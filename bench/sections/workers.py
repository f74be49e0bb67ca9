"""Section: two workers on two cores."""

import contextlib
import os
from collections.abc import Iterator
from typing import Final

from bench.closed_loop import Loop, Measured
from bench.contestants import Skinflint, hit_share
from bench.failures import BenchFailed
from bench.field import Run
from bench.figures import Spread, ratios, spread
from bench.processes import LOAD_CORE, PROXY_CORE
from bench.report import Check, Section, Table
from bench.sections.calls import CONNECTIONS
from bench.work import Requests

_TARGET: Final = 1.7
_ALL_BUT_THE_FIRST: Final = 0.98  # each worker learns for itself that a call repeats
_CHAIN: Final = "cache.memory.repeats_max_bytes=0"

type Rounds = list[Measured]


def run(run: Run) -> Section:
    """Hits by the short way and through the chain, by one worker and by two, in alternating rounds."""
    cores = os.cpu_count() or 1
    both = frozenset({PROXY_CORE, LOAD_CORE if cores == 2 else 2 % cores})
    rows: list[tuple[str, ...]] = []
    checks: list[Check] = []
    for what, settings in (("repeated hits", ()), ("hits through the chain", (_CHAIN,))):
        one, two = _rounds(run, settings, both)
        rows += [_row(f"{what}, one worker", one, one), _row(f"{what}, two workers", two, one)]
        alone = _without_load(one, two)
        checks.append(
            Check(
                f"{what}: two workers on two cores at least {_TARGET} times one",
                f"{alone.show(2)}; {ratios(_rates(two), _rates(one)).show(2)} with the load side on the same cores",
                alone.median >= _TARGET,
            )
        )
    return Section(
        name="workers",
        title="Two workers on two cores",
        method=(
            f"{CONNECTIONS} connections, closed loop, identical calls of 1 KB with answers of 1 KB. One process on one "
            f"core, with the load generator on the other, beside `workers: 2` on two cores. This machine has {cores}: "
            "with two, the generator takes its share of them from the workers."
        ),
        tables=(Table(("", "calls/s", "to one worker", "CPU a call, µs", "cores", "load side, cores"), tuple(rows)),),
        checks=tuple(checks),
        remarks=(
            (
                "The figure that is held to the target is what two whole cores would do: calls for each second of "
                "processor time that the workers took, twice, over the same for one worker. The second figure is the "
                "plain ratio of calls/s."
            ),
        ),
    )


def _rounds(run: Run, settings: tuple[str, ...], both: frozenset[int]) -> tuple[Rounds, Rounds]:
    contestants = (Skinflint("one", settings), Skinflint("two", (*settings, "workers=2"), cores=both))
    measured: tuple[Rounds, Rounds] = ([], [])
    with run.up(*contestants) as targets:
        for number in range(run.scale.rounds + 1):  # the first one warms up
            for place, (contestant, target) in enumerate(zip(contestants, targets, strict=True)):
                with (
                    _on(both | {LOAD_CORE} if place else {LOAD_CORE}),
                    Loop(target, CONNECTIONS, Requests(), iter(lambda: 0, None)) as loop,
                ):
                    loop.run(0.2)
                    one = loop.run(run.scale.seconds)
                if number:
                    measured[place].append(one)
                    run.say(f"round {number}: {contestant.name}: {one.rate:,.0f}/s, {one.cpu_us:.0f} µs a call")
        shares = [hit_share(target.admin) for target in targets if target.admin]
    if min(shares) < _ALL_BUT_THE_FIRST:
        raise BenchFailed(f"not all calls were hits: {shares}")
    return measured


@contextlib.contextmanager
def _on(cores: frozenset[int] | set[int]) -> Iterator[None]:
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core % (os.cpu_count() or 1) for core in cores})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def _rates(rounds: Rounds) -> list[float]:
    return [one.rate for one in rounds]


def _without_load(one: Rounds, two: Rounds) -> Spread:
    """Twice the calls of a second of processor time, over those of one worker."""
    return ratios([2 / each.cpu_us for each in two], [1 / each.cpu_us for each in one])


def _row(name: str, rounds: Rounds, one: Rounds) -> tuple[str, ...]:
    return (
        name,
        spread(_rates(rounds)).show(0),
        "1" if rounds is one else ratios(_rates(rounds), _rates(one)).show(2),
        spread([each.cpu_us for each in rounds]).show(0),
        spread([each.core for each in rounds]).show(2),
        spread([each.load_busy for each in rounds]).show(2),
    )
