"""Section: what a proxy adds to one call."""

from typing import Final

from bench.contestants import NO_CACHE, Direct, Mitmdump, Skinflint
from bench.field import Run
from bench.figures import differences, spread
from bench.report import Check, Section, Table

_HIT_MS: Final = 0.25
_FORWARD_MS: Final = 0.8


def run(run: Run) -> Section:
    """One connection, one call after another."""
    direct = Direct()
    hit, forward = Skinflint("Skinflint, hit"), Skinflint("Skinflint, forward", settings=NO_CACHE)
    stock_hit = Mitmdump("hit", name="stock mitmdump, addon's answer")
    stock_forward = Mitmdump("forward", name="stock mitmdump, forward")
    contestants = (direct, hit, forward, stock_hit, stock_forward)
    with run.up(*contestants) as targets:
        entrants = run.entrants(contestants, targets, repeating=(hit, stock_hit))
        measured = run.alternate(entrants, 1)
    medians = {name: [one.p50_ms for one in rounds] for name, rounds in measured.items()}
    added = {name: differences(values, medians[direct.name]) for name, values in medians.items()}
    rows = [
        (
            name,
            spread(medians[name]).show(3),
            "–" if name == direct.name else added[name].show(3),
            spread([one.p99_ms for one in rounds]).show(3),
        )
        for name, rounds in measured.items()
    ]
    return Section(
        name="latency",
        title="Added latency",
        method=(
            "One connection, one call after another, 1 KB each way. A hit is compared with the direct way to the "
            "upstream, "
            "which answers at once; a real provider takes hundreds of milliseconds, which a hit saves."
        ),
        tables=(Table(("", "p50, ms", "p50 less direct, ms", "p99, ms"), tuple(rows)),),
        checks=(
            Check(
                f"hit: at most {_HIT_MS} ms added at p50", added[hit.name].show(3), added[hit.name].median <= _HIT_MS
            ),
            Check(
                f"forward: at most {_FORWARD_MS} ms added at p50",
                added[forward.name].show(3),
                added[forward.name].median <= _FORWARD_MS,
            ),
        ),
        remarks=("With one call at a time, most of the time is spent waking threads on both cores, not computing.",),
    )
