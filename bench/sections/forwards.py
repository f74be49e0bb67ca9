"""Section: calls that go upstream."""

from typing import Final

from bench.contestants import NO_CACHE, Contestant, Direct, Skinflint
from bench.failures import BenchFailed
from bench.field import Field, Run
from bench.report import Section
from bench.sections.calls import CONNECTIONS, Rounds, load_remark, rate_checks, table
from bench.sections.plots import rate_plot
from bench.work import Requests

_TARGETS: Final = {"stock mitmdump": 6.0, "Portkey": 8.0, "LiteLLM": 35.0}
_SLOW_MS: Final = 50
_MANY: Final = 256


def run(run: Run) -> Section:
    """Every call another one: to an upstream that answers at once, and to one that takes 50 ms."""
    direct = Direct()
    ours = Skinflint(settings=NO_CACHE)
    logging = Skinflint("Skinflint, info log", settings=NO_CACHE, log_level="info")
    storing = Skinflint("Skinflint, cache on: each call misses and is stored")
    contestants: list[Contestant] = [direct, ours, logging, storing, *run.rivals("forward")]
    with run.field(contestants) as field:
        fast = _rounds(run, field, CONNECTIONS, 0)
        slow = _rounds(run, field, _MANY, _SLOW_MS)
    short = {name: surplus for name, surplus in field.surplus.items() if surplus < 0}
    if short:
        raise BenchFailed(f"the upstream answered fewer calls than were made: {short}")
    twice = [f"{name} {surplus}" for name, surplus in field.surplus.items() if surplus > 0]
    return Section(
        name="forwards",
        title="Calls that go upstream",
        method=(
            f"Closed loop, calls of 1 KB that all differ, answers of 1 KB: {CONNECTIONS} connections to an upstream "
            f"that answers at once, then {_MANY} to one that takes {_SLOW_MS} ms, which lets no one make more than "
            f"{_MANY * 1000 // _SLOW_MS:,} calls/s. Skinflint forwards over HTTP/2 and TLS, with `{NO_CACHE[0]}` and "
            f"`{NO_CACHE[1]}`; one row has both on, as they are by default, and so stores every answer. The others "
            "forward over HTTP/1.1 and TLS. mitmdump has an addon that does nothing but lead the name to the upstream; "
            "`connection_strategy` is its default, eager, which was no slower than lazy."
        ),
        tables=(
            table(f"at once, {CONNECTIONS} connections", fast, field, ours.name),
            table(f"after {_SLOW_MS} ms, {_MANY} connections", slow, field, ours.name),
        ),
        checks=tuple(rate_checks("forwards", _TARGETS, fast, field, ours.name)),
        remarks=(
            load_remark(fast, direct.name),
            (
                "The upstream's own count of answers is that of the calls: nothing was answered from memory. "
                f"Sent to it twice: {', '.join(twice) or 'none'}."
            ),
            "squid's tunnel relays TLS that it cannot read: it is the least that any forward proxy costs.",
        ),
        pictures=(rate_plot("forwards", "Calls of 1 KB that go upstream", fast, ours.name, _TARGETS),),
    )


def _rounds(run: Run, field: Field, connections: int, delay_ms: int) -> Rounds:
    return run.compare(
        field,
        connections,
        lambda target: Requests(delay_ms=delay_ms, headers=target.headers),
        seconds=run.scale.seconds,
    )
