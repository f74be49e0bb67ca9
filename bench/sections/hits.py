"""Section: answers from the cache."""

from typing import Final

from bench.contestants import Direct, Mitmdump, Skinflint, hit_share
from bench.failures import BenchFailed
from bench.field import Run
from bench.figures import ratios
from bench.report import Check, Section
from bench.sections.calls import CONNECTIONS, load_remark, table

_TARGET: Final = 8.0
_ALL_BUT_THE_FIRST: Final = 0.99


def run(run: Run) -> Section:
    """16 connections, the same call again and again."""
    direct, ours, logging, stock = (
        Direct(),
        Skinflint(),
        Skinflint("Skinflint, info log", log_level="info"),
        Mitmdump("hit"),
    )
    contestants = (direct, ours, logging, stock)
    with run.up(*contestants) as targets:
        entrants = run.entrants(contestants, targets, repeating=contestants)
        measured = run.alternate(entrants, CONNECTIONS)
        shares = [hit_share(target.admin) for target in targets if target.admin]
    if min(shares) < _ALL_BUT_THE_FIRST:
        raise BenchFailed(f"not all calls were hits: {shares}")
    ratio = ratios([one.rate for one in measured[ours.name]], [one.rate for one in measured[stock.name]])
    return Section(
        name="hits",
        title="Answers from the cache",
        method=(
            f"{CONNECTIONS} connections, closed loop, identical calls of 1 KB with answers of 1 KB. Skinflint "
            "answers from "
            "its memory tier, mitmdump from an addon that sets `flow.response`; `direct` has no proxy and is the "
            "upstream's "
            "own speed."
        ),
        tables=(table(measured, stock.name),),
        checks=(Check(f"hits: at least {_TARGET:g} times stock mitmdump", ratio.show(1), ratio.median >= _TARGET),),
        remarks=(
            load_remark(measured, direct.name),
            (
                "The addon looks at nothing and always gives the same bytes; Skinflint reads the request, finds its "
                "fingerprint, obeys Cache-Control, and meters and records the call."
            ),
        ),
    )
