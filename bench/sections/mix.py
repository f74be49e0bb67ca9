"""Section: what a service really asks: half of it again, some of it twice at once, the rest anew."""

import itertools
import json
import urllib.request
from collections.abc import Iterator
from typing import Final

from bench.closed_loop import Loop, Measured
from bench.contestants import Contestant, Direct, Mitmdump, Skinflint
from bench.failures import BenchFailed
from bench.field import Run
from bench.figures import ratios, spread
from bench.report import Check, Section, Table
from bench.work import Requests

_CONNECTIONS: Final = 64
_HOT: Final = 100
_WARM_UP_S: Final = 60.0  # at most: it ends when each of those calls was made once
_DELAY_MS: Final = 50  # of a call that is asked twice: long enough for the second to come while the first is under way
_TWINS_FROM: Final = 500_000_000_000  # numbers of calls that are asked twice
_SHARES: Final = {"hit": 0.5, "collapsed": 0.1, "miss": 0.4}
_TOLERANCE: Final = 0.02
_CPU_RATIO: Final = 0.4


class MixedRequests(Requests):
    """Calls that are asked twice take a while at the upstream, all others none."""

    def __init__(self) -> None:
        super().__init__()
        self._slow = Requests(delay_ms=_DELAY_MS)

    def make(self, number: int) -> bytes:
        return self._slow.make(number) if number >= _TWINS_FROM else super().make(number)


def mixed_numbers(fresh: Iterator[int]) -> Iterator[int]:
    """Ten calls after ten: five hits, three misses, and one that is asked twice at once. Pure but for `fresh`."""
    for round_number in itertools.count():
        hot = [1 + (round_number * 5 + place) % _HOT for place in range(5)]
        twin = _TWINS_FROM + round_number
        yield from (hot[0], twin, twin, hot[1], _fresh(fresh), hot[2], _fresh(fresh), hot[3], _fresh(fresh), hot[4])


def _fresh(fresh: Iterator[int]) -> int:
    """A number beyond the hot ones."""
    return _HOT + next(fresh)


def run(run: Run) -> Section:
    """All three ways in alternating rounds."""
    direct, ours, stock = Direct(), Skinflint(), Mitmdump("forward")
    contestants: tuple[Contestant, ...] = (direct, ours, stock)
    measured: dict[str, list[Measured]] = {each.name: [] for each in contestants}
    with run.up(*contestants) as targets:
        loops = {
            each.name: Loop(target, _CONNECTIONS, MixedRequests(), mixed_numbers(run.numbers))
            for each, target in zip(contestants, targets, strict=True)
        }
        try:
            for target, loop in zip(targets, loops.values(), strict=True):
                with Loop(target, 1, MixedRequests(), iter(range(1, _HOT + 1))) as each_once:
                    each_once.run(_WARM_UP_S)
                loop.run(min(1.0, run.scale.seconds))
            admin = next(target.admin for target in targets if target.admin)
            before = _outcomes(admin)
            for number in range(run.scale.rounds):
                for name, loop in loops.items():
                    one = loop.run(run.scale.seconds)
                    measured[name].append(one)
                    run.say(f"round {number + 1}: {name}: {one.rate:,.0f}/s, {one.cpu_us:.0f} µs a call")
            shares = found_shares(before, _outcomes(admin))
        finally:
            for loop in loops.values():
                loop.close()
    if wrong := [name for name, share in _SHARES.items() if abs(shares[name] - share) > _TOLERANCE]:
        raise BenchFailed(f"the mixture was not kept ({', '.join(wrong)}): {shares}")
    return _section(measured, ours.name, stock.name, shares)


def _section(measured: dict[str, list[Measured]], ours: str, stock: str, shares: dict[str, float]) -> Section:
    rows = []
    for name, rounds in measured.items():
        cpu = spread([one.cpu_us for one in rounds])
        rate = spread([one.rate for one in rounds])
        p50, p99 = spread([one.p50_ms for one in rounds]), spread([one.p99_ms for one in rounds])
        rows.append((name, rate.show(0), cpu.show(0) if cpu.most else "–", p50.show(2), p99.show(2)))
    ratio = ratios([one.cpu_us for one in measured[ours]], [one.cpu_us for one in measured[stock]])
    shown = ", ".join(f"{name} {share:.1%}" for name, share in shares.items())
    return Section(
        name="mix",
        title="Mixed calls",
        method=(
            f"{_CONNECTIONS} connections, closed loop, calls and answers of 1 KB: half of them repeat one of {_HOT} "
            "calls (hits), a tenth joins an identical call that is under way (collapsed), the rest is new (misses, "
            f"stored). Calls that are asked twice take {_DELAY_MS} ms at the upstream, all others none. mitmdump "
            "forwards everything. Skinflint's own counts must confirm the shares, or the run fails."
        ),
        tables=(Table(("", "calls/s", "CPU a call, µs", "p50, ms", "p99, ms"), tuple(rows)),),
        checks=(
            Check(
                f"CPU of a mixed call: at most {_CPU_RATIO} of stock mitmdump's",
                ratio.show(),
                ratio.median <= _CPU_RATIO,
            ),
        ),
        remarks=(f"What Skinflint counted: {shown}.",),
    )


def found_shares(before: dict[str, int], after: dict[str, int]) -> dict[str, float]:
    """Of the calls between two looks at the counters."""
    counts = {name: after.get(name, 0) - before.get(name, 0) for name in {*after, *_SHARES}}
    total = sum(counts.values())
    if not total:
        raise BenchFailed("no call was counted")
    return {name: counts[name] / total for name in sorted(counts, key=lambda name: -counts[name])}


def _outcomes(admin: str) -> dict[str, int]:
    """Calls so far by outcome, as /v1/stats has them."""
    with urllib.request.urlopen(f"http://{admin}/v1/stats", timeout=30) as response:
        calls = json.load(response)["calls"]
    return {name: calls.get(name, 0) for name in ("hit", "miss", "collapsed", "bypass", "refused", "error")}
