"""Section: start and idle memory."""

import time
from typing import Final

from bench.contestants import Skinflint
from bench.field import Run
from bench.figures import spread
from bench.processes import resident_mib
from bench.report import Check, Section, Table

_READY_S: Final = 2.0
_IDLE_MIB: Final = 130.0
_SETTLE_S: Final = 2.0


def run(run: Run) -> Section:
    """Start again and again."""
    ready, idle = [], []
    for number in range(run.scale.starts):
        ours = Skinflint()
        with run.up(ours) as (target,):
            time.sleep(_SETTLE_S)
            ready.append(ours.ready_s)
            idle.append(resident_mib(target.pid or 0))
        run.say(f"start {number + 1}: {ready[-1]:.2f} s, {idle[-1]:.0f} MiB")
    seconds, mib = spread(ready), spread(idle)
    return Section(
        name="start",
        title="Start and idle memory",
        method=(
            f"{run.scale.starts} starts of `skinflint run`, each with an empty data directory, so that the CA is "
            "made as "
            "well. Ready: the listener takes connections and `/readyz` answers 200. Memory: resident, "
            f"{_SETTLE_S:.0f} s later, before any call. Bytecode is cached, as after an installation."
        ),
        tables=(
            Table(
                ("", "start to ready, s", "idle, MiB"),
                (("Skinflint", seconds.show(2), mib.show(0)),),
            ),
        ),
        checks=(
            Check(f"start: less than {_READY_S:g} s", seconds.show(2, " s"), seconds.median < _READY_S),
            Check(f"idle memory: less than {_IDLE_MIB:.0f} MB", mib.show(0, " MiB"), mib.median * 1.048576 < _IDLE_MIB),
        ),
        remarks=("On one core, as everything here; a start is almost all imports.",),
    )
