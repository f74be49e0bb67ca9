"""Section: connections to the origin."""

import itertools
from typing import Final

from bench.closed_loop import Loop
from bench.contestants import NO_CACHE, Contestant, Direct, Mitmdump, Skinflint, metric
from bench.field import Run
from bench.report import Section, Table
from bench.target import Target
from bench.work import Requests

_CLIENTS: Final = 200
_CALLS: Final = 10_000
_DELAY_MS: Final = 20
_LIMIT_S: Final = 600.0


def run(run: Run) -> Section:
    """200 clients at once, to one origin."""
    contestants: tuple[Contestant, ...] = (Direct(), Skinflint(settings=NO_CACHE), Mitmdump("forward"))
    rows = []
    for contestant in contestants:
        with run.up(contestant) as (target,):
            rows.append((contestant.name, *_count(run, target)))
            run.say(", ".join(rows[-1]))
    return Section(
        name="connections",
        title="Connections to the origin",
        method=(
            f"{_CLIENTS} clients, each with a connection of its own, make {_CALLS:,} calls that all differ to one "
            "origin, "
            f"which takes {_DELAY_MS} ms for an answer and allows 100 HTTP/2 streams on a connection. Opened and "
            "most open "
            "are the upstream's own counts; the last column is `skinflint_upstream_connections` right after the last "
            "call."
        ),
        tables=(Table(("", "opened", "most open at once", "calls/s", "in `/metrics`"), tuple(rows)),),
        remarks=(
            (
                "The opened connections include the one by which Skinflint learns what the origin speaks, when a "
                "second call comes before the first answer."
            ),
        ),
    )


def _count(run: Run, target: Target) -> tuple[str, str, str, str]:
    before = run.upstream.counters()
    numbers = itertools.islice(run.numbers, _CALLS)
    with Loop(target, _CLIENTS, Requests(delay_ms=_DELAY_MS), numbers) as loop:
        measured = loop.run(_LIMIT_S)
        after = run.upstream.counters()
        shown = f"{metric(target.admin, 'skinflint_upstream_connections'):.0f}" if target.admin else "–"
    opened = sum(after[name] - before[name] for name in ("http1_connections", "http2_connections"))
    return str(opened), str(after["most_open"] - before["open"]), f"{measured.rate:,.0f}", shown
