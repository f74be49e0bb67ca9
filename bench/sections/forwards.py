"""Section: calls that go upstream."""

from typing import Final

from bench.contestants import NO_CACHE, Direct, Mitmdump, Skinflint
from bench.failures import BenchFailed
from bench.field import Run
from bench.figures import ratios
from bench.report import Check, Section
from bench.sections.calls import CONNECTIONS, load_remark, table

_TARGET: Final = 3.5


def run(run: Run) -> Section:
    """16 connections, every call another one."""
    direct = Direct()
    ours = Skinflint(settings=NO_CACHE)
    logging = Skinflint("Skinflint, info log", settings=NO_CACHE, log_level="info")
    storing = Skinflint("Skinflint, cache on: each call misses and is stored")
    stock = Mitmdump("forward")
    contestants = (direct, ours, logging, storing, stock)
    before = run.upstream.counters()["answers"]
    first = next(run.numbers)
    with run.up(*contestants) as targets:
        measured = run.alternate(run.entrants(contestants, targets), CONNECTIONS)
    asked = next(run.numbers) - first - 1
    answered = run.upstream.counters()["answers"] - before
    if answered != asked:
        raise BenchFailed(f"{asked} calls were made, the upstream answered {answered}")
    ratio = ratios([one.rate for one in measured[ours.name]], [one.rate for one in measured[stock.name]])
    return Section(
        name="forwards",
        title="Calls that go upstream",
        method=(
            f"{CONNECTIONS} connections, closed loop, calls of 1 KB that all differ, answers of 1 KB. Skinflint "
            "forwards "
            f"over HTTP/2 and TLS, with `{NO_CACHE[0]}` and `{NO_CACHE[1]}`; one row has both on, as they are by "
            "default, "
            "and so stores every answer. mitmdump forwards with an addon that does nothing but lead the name to the "
            "upstream; `connection_strategy` is its default, eager, which was no slower than lazy."
        ),
        tables=(table(measured, stock.name),),
        checks=(Check(f"forwards: at least {_TARGET:g} times stock mitmdump", ratio.show(1), ratio.median >= _TARGET),),
        remarks=(
            load_remark(measured, direct.name),
            (
                "The upstream's own count of answers equals the number of calls: nothing was answered twice or from "
                "memory."
            ),
        ),
    )
