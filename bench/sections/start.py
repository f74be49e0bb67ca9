"""Section: start and idle memory, of Skinflint and of its rivals."""

import itertools
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from bench.closed_loop import Loop
from bench.contestants import Mitmdump, Skinflint
from bench.field import Run
from bench.figures import spread
from bench.processes import resident_mib
from bench.report import Check, Section, Table
from bench.rivals.base import Rival
from bench.sections.calls import CONNECTIONS
from bench.sections.plots import memory_plot
from bench.work import Requests

_READY_S: Final = 2.0
_IDLE_MIB: Final = 130.0
_SETTLE_S: Final = 2.0
_CALLS: Final = 500
_LIMIT_S: Final = 60.0
_SMALLER_THAN: Final = ("LiteLLM", "Portkey")


@dataclass(slots=True)
class Starts:
    """What several starts of one contestant gave."""

    ready_s: list[float] = field(default_factory=list)
    idle_mib: list[float] = field(default_factory=list)
    used_mib: list[float] = field(default_factory=list)

    def columns(self) -> tuple[tuple[list[float], int], ...]:
        """The figures in the table's order, each with its digits."""
        return (self.ready_s, 2), (self.idle_mib, 0), (self.used_mib, 0)


def run(run: Run) -> Section:
    """Start again and again."""
    ours = Skinflint()
    started: dict[str, Starts] = {ours.name: Starts()}
    absent: dict[str, str] = {}
    for _ in range(run.scale.starts):
        _start(run, Skinflint(), started, absent)
    for _ in range(run.scale.rival_starts):
        for rival in run.rivals("forward"):
            assert isinstance(rival, (Rival, Mitmdump))
            if rival.name not in absent:
                _start(run, rival, started, absent)
    rows = [
        (name, str(len(one.ready_s)), *[spread(each).show(digits) for each, digits in one.columns()])
        for name, one in started.items()
    ]
    rows += [(name, "–", reason, "–", "–") for name, reason in absent.items()]
    return Section(
        name="start",
        title="Start and idle memory",
        method=(
            f"{run.scale.starts} starts of `skinflint run`, each with an empty data directory, so that the CA is made "
            f"as well, and {run.scale.rival_starts} of each rival. Ready: the listener takes connections, and "
            "`/readyz` (Skinflint) or `/health/liveliness` (LiteLLM) answers 200. Memory: resident, of the process "
            f"with its children, {_SETTLE_S:.0f} s later, before any call; then after {_CALLS} calls that all differ. "
            "Bytecode is cached, as after an installation."
        ),
        tables=(Table(("", "starts", "start to ready, s", "idle, MiB", f"after {_CALLS} calls, MiB"), tuple(rows)),),
        checks=_checks(started, absent, ours.name),
        remarks=(
            "On one core, as everything here; Skinflint's start is almost all imports.",
            "Pages that processes of one contestant share (nginx's master and worker) are counted for each of them.",
        ),
        pictures=(
            memory_plot("memory", "Idle memory", {name: one.idle_mib for name, one in started.items()}, ours.name),
        ),
    )


def _start(
    run: Run, contestant: Skinflint | Mitmdump | Rival, started: dict[str, Starts], absent: dict[str, str]
) -> None:
    with run.field([contestant]) as up:
        absent |= up.absent
        for entrant in up.entrants:
            time.sleep(_SETTLE_S)
            one = started.setdefault(contestant.name, Starts())
            one.ready_s.append(contestant.ready_s)
            one.idle_mib.append(resident_mib(entrant.target.pid or 0))
            with Loop(
                entrant.target,
                CONNECTIONS,
                Requests(headers=entrant.target.headers),
                itertools.islice(entrant.numbers, _CALLS),
            ) as loop:
                loop.run(_LIMIT_S)
            one.used_mib.append(resident_mib(entrant.target.pid or 0))
            run.say(f"{contestant.name}: {one.ready_s[-1]:.2f} s, {one.idle_mib[-1]:.0f} MiB")


def _checks(started: Mapping[str, Starts], absent: Mapping[str, str], ours: str) -> tuple[Check, ...]:
    seconds, mib = spread(started[ours].ready_s), spread(started[ours].idle_mib)
    checks = [
        Check(f"start: less than {_READY_S:g} s", seconds.show(2, " s"), seconds.median < _READY_S),
        Check(f"idle memory: less than {_IDLE_MIB:.0f} MB", mib.show(0, " MiB"), mib.median * 1.048576 < _IDLE_MIB),
    ]
    for name in _SMALLER_THAN:
        target = f"idle memory: less than {name}'s"
        if name in started:
            theirs = spread(started[name].idle_mib)
            found = f"{mib.median:,.0f} MiB, {name} {theirs.median:,.0f} MiB"
            checks.append(Check(target, found, mib.median < theirs.median))
        else:
            checks.append(Check(target, f"not measured: {absent.get(name, 'left out')}", None))
    return tuple(checks)
