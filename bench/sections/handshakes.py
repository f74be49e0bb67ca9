"""Section: storms of new connections."""

import ssl
from typing import Final

from bench.contestants import Contestant, Direct, Mitmdump, Skinflint
from bench.field import Run
from bench.figures import ratios, spread
from bench.report import Check, Section, Table
from bench.storm import Storm, storm, ticket
from bench.target import Target

_CLIENTS: Final = 8
_CPU_RATIO: Final = 0.6
# Clients that connect and leave without asking look like clients that reject the certificate, and are then tunnelled.
_SETTINGS: Final = ("passthrough.learn_pins=false",)

type Found = dict[tuple[str, bool], list[Storm]]


def run(run: Run) -> Section:
    """Full handshakes, and resumed ones where a server gives tickets, in alternating rounds."""
    contestants: tuple[Contestant, ...] = (Direct(), Skinflint(settings=_SETTINGS), Mitmdump("hit"))
    found: Found = {}
    with run.up(*contestants) as targets:
        prepared = [_prepare(target) for target in targets]
        for number in range(run.scale.rounds + 1):  # the first one warms up
            for contestant, target, (context, session) in zip(contestants, targets, prepared, strict=True):
                for one in (None, session) if session is not None else (None,):
                    result = storm(target, context, one, clients=_CLIENTS, seconds=run.scale.seconds / 2)
                    if number:
                        found.setdefault((contestant.name, one is not None), []).append(result)
                        kind = "full" if one is None else "resumed"
                        run.say(f"round {number}: {contestant.name}, {kind}: {result.rate:,.0f}/s")
    return _section(found, contestants[1].name, contestants[2].name)


def _prepare(target: Target) -> tuple[ssl.SSLContext, ssl.SSLSession | None]:
    context = target.context()
    return context, ticket(target, context)


def _section(found: Found, ours: str, stock: str) -> Section:
    rows = []
    for (name, is_resumed), rounds in found.items():
        cpu = spread([each.cpu_us for each in rounds])
        taken = sum(each.resumed for each in rounds) / sum(each.handshakes for each in rounds)
        rows.append(
            (
                name,
                "resumed" if is_resumed else "full",
                spread([each.rate for each in rounds]).show(0),
                f"{taken:.0%}" if is_resumed else "–",
                cpu.show(0) if cpu.most else "–",
                spread([each.load_busy for each in rounds]).show(2),
            )
        )
    ratio = ratios([each.cpu_us for each in found[ours, False]], [each.cpu_us for each in found[stock, False]])
    resumed = found.get((ours, True), [])
    is_taken = bool(resumed) and all(each.resumed == each.handshakes for each in resumed)
    heads = ("", "", "handshakes/s", "tickets taken", "CPU a handshake, µs", "load generator, cores")
    return Section(
        name="handshakes",
        title="New connections",
        method=(
            f"{_CLIENTS} clients at once connect, make a handshake (TLS 1.3, ECDSA P-256) and leave, again and again: "
            "CONNECT and TLS with a proxy, TLS alone without one. Resumed: with the ticket of an earlier connection. "
            f"Skinflint runs with `{_SETTINGS[0]}`, because clients that leave without a word are taken for clients "
            "that reject its certificate. Who gives no tickets has no second row."
        ),
        tables=(Table(heads, tuple(rows)),),
        checks=(
            Check(
                f"CPU of a new connection: at most {_CPU_RATIO} of stock mitmdump's",
                ratio.show(),
                ratio.median <= _CPU_RATIO,
            ),
            Check("sessions resume: every ticket is taken", "all" if is_taken else "not all", is_taken),
        ),
        remarks=("Where the load generator takes its whole core, it is what limits the rate; CPU a handshake holds.",),
    )
