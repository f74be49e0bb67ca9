"""Section: memory over many calls."""

import contextlib
from typing import Final

from bench.contestants import Skinflint
from bench.field import Run
from bench.mixed import Mixed
from bench.processes import resident_mib
from bench.report import Check, Section, Table

_CLIENTS: Final = 32
_STEPS: Final = 10
_CACHE_BYTES: Final = 4 * 1024 * 1024
_MAX_GROWTH: Final = 0.05


def run(run: Run) -> Section:
    """Mixed calls, with a look at resident memory after each tenth of them."""
    calls = run.scale.mixed_calls
    step = calls // _STEPS
    ours = Skinflint(settings=(f"cache.memory.max_bytes={_CACHE_BYTES}",))
    resident: list[tuple[int, float]] = []
    with run.up(ours) as (target,):
        pid = target.pid or 0
        resident.append((0, resident_mib(pid)))

        def look(done: int) -> None:
            resident.append((done, resident_mib(pid)))
            run.say(f"{done:,} calls: {resident[-1][1]:.1f} MiB")

        mixed = Mixed(target, _CLIENTS, run.numbers)
        with contextlib.closing(mixed):
            mixed.run(calls, look, step)
    base, last = resident[2][1], max(value for _, value in resident[-3:])
    growth = last / base - 1
    return Section(
        name="memory",
        title="Memory over many calls",
        method=(
            f"{_CLIENTS} clients make {calls:,} calls to one process: 60 % hits, 30 % misses that are stored, 8 % "
            "streams, "
            f"2 % clients that leave in the middle of a stream. The cache is bounded at {_CACHE_BYTES // 1024**2} "
            "MiB, so "
            "that it is full before the second look; ledger and metrics are on."
        ),
        tables=(
            Table(
                ("calls", *[f"{done:,}" for done, _ in resident]),
                (("resident, MiB", *[f"{value:.0f}" for _, value in resident]),),
            ),
        ),
        checks=(
            Check(
                f"flat memory: at most {_MAX_GROWTH:.0%} more at the end than after a fifth of the calls",
                f"{growth:+.1%} ({base:.1f} to {last:.1f} MiB)",
                growth <= _MAX_GROWTH,
            ),
        ),
        remarks=("The end is the largest of the last three looks.",),
    )
