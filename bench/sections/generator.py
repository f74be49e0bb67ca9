"""Section: the load generator itself, beside wrk."""

import itertools
from collections.abc import Mapping, Sequence

from bench import wrk
from bench.closed_loop import Loop
from bench.contestants import Contestant, Direct
from bench.field import Entrant, Run
from bench.figures import ratios, spread
from bench.report import Section, Table
from bench.rivals.nginx import Nginx
from bench.sections.calls import CONNECTIONS
from bench.work import Requests
from bench.wrk import Driven

_OURS = "closed loop"
_PEER = "wrk"


def run(run: Run) -> Section:
    """Our closed loop and wrk in turns, on the bench's upstream and on an nginx that always answers the same."""
    contestants: list[Contestant] = [Direct(), Nginx("hit", name="nginx", is_static=True)]
    with run.field(contestants) as field:
        tables = [_table(_title(entrant.name), _rounds(run, entrant)) for entrant in field.entrants]
    remarks = [
        (
            "The closed loop compares each answer with what it must be, wrk only counts them. CPU a call is the "
            "generator's own; a million over it is what the generator could make at most on its core."
        ),
        "With the bench's upstream, generator and upstream share a core; nginx has the contestants' core.",
        *[f"{name}: {reason}." for name, reason in field.absent.items()],
    ]
    if reason := wrk.why_missing():
        remarks.append(f"wrk: {reason}.")
    return Section(
        name="generator",
        title="The load generator",
        method=(
            f"{CONNECTIONS} connections, TLS, no proxy: the same calls of 1 KB by the closed loop that makes the load "
            "of this page, and by wrk with one thread, in alternating rounds."
        ),
        tables=tuple(tables),
        remarks=tuple(remarks),
    )


def _title(name: str) -> str:
    return "to the bench's upstream" if name == "direct" else "to nginx with a fixed answer"


def _rounds(run: Run, entrant: Entrant) -> dict[str, list[Driven]]:
    requests = Requests()
    seconds = max(round(run.scale.seconds), 1)
    found: dict[str, list[Driven]] = {_OURS: []}
    if not wrk.why_missing():
        found[_PEER] = []
    for number in range(run.scale.rounds):
        with Loop(entrant.target, CONNECTIONS, requests, itertools.repeat(0)) as loop:
            one = loop.run(seconds)
        found[_OURS].append(Driven(one.rate, one.load_busy / one.rate * 1e6, one.load_busy))
        if _PEER in found:
            found[_PEER].append(wrk.drive(entrant.target, requests, CONNECTIONS, seconds, run.directory))
        told = ", ".join([f"{name} {rounds[-1].rate:,.0f}/s" for name, rounds in found.items()])
        run.say(f"round {number + 1}: {entrant.name}: {told}")
    return found


def _table(title: str, found: Mapping[str, Sequence[Driven]]) -> Table:
    heads = (title, "calls/s", "relative to wrk", "CPU a call, µs", "of its core")
    peers = [one.rate for one in found.get(_PEER, ())]
    rows = [
        (
            name,
            spread([one.rate for one in rounds]).show(0),
            ratios([one.rate for one in rounds], peers).show(2) if peers and name != _PEER else "1" if peers else "–",
            spread([one.cpu_us for one in rounds]).show(1),
            f"{spread([one.busy for one in rounds]).median:.0%}",
        )
        for name, rounds in found.items()
    ]
    return Table(heads, tuple(rows))
