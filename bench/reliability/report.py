"""The page docs/reliability.md.

Rules: pure. It is read by somebody who was woken: what happens first, then what calls notice of it, how it ends, and
what the log says. What was not passed is written as not passed; what was left out says why.
"""

import math
from collections.abc import Callable, Sequence
from typing import Final

from bench.machine import Machine
from bench.reliability.records import Latency, Outcome
from bench.reliability.run import Plan, Seen
from bench.reliability.trouble import Skipped, Trouble

_OPENING: Final = """\
# When Redis or the disk fails

Redis and the disk keep answers; no call needs them. While one of them is away a proxy makes the calls itself, and
each replica answers from its own memory. Nothing has to be done about the proxies, before or after: repair Redis or
the disk, and it is taken in again. The tables say what happened under load, with real servers; every byte of every
answer was compared with the one right answer, which no other credential and no other question has.

- **Is it the cache?** `GET /v1/stats` says of each tier whether it is up. The log says `redis_down` when an outage
  begins, once for each lane (`quick`: reads, `bulk`: writes) and each reason; `redis_back` when it is over. The disk
  says `cache_tier_down`, with what to do about it, and `cache_tier_back`.
- **What does an outage cost?** Calls that asked Redis when it fell silent wait `cache.redis.read_timeout_s` (20 ms);
  later ones do not ask. Answers that other replicas have paid for are paid for again. Invalidations that Redis could
  not be told are obeyed where they were made, and told when it is back.
- **When is it over?** By itself, some 5 s after Redis serves again at most: replicas look after 0.1 s, then more and
  more rarely, up to every 5 s, each at moments of its own.
"""
_REPEAT: Final = """\
Repeat it: `make reliability` (`python -m bench.reliability`; `--only NAME` for one of them). It needs redis-server and
redis-sentinel, and root for the rows with a partition, a full disk or a read-only one.
"""


def page(machine: Machine, plan: Plan, seen: Sequence[Seen]) -> str:
    """All of it, in Markdown."""
    rows = [(name, value) for name, value in machine.lines() if name != "Rivals"]
    rows.append(("Load", _load(plan)))
    about = "\n".join(["| | |", "|---|---|", *(f"| {name} | {value} |" for name, value in rows)])
    parts = [_OPENING, _figures(seen), _words(seen), f"## The run\n\n{_REPEAT}\n{about}\n"]
    return "\n".join(parts)


def _load(plan: Plan) -> str:
    return (
        f"{plan.clients} clients, each asking again 10 ms after its answer: questions asked by all, new ones, a third "
        f"of them streamed, answers of 200 bytes to 300 KB, three credentials; {plan.before_s:g} s before each "
        f"trouble, {plan.trouble_s:g} s of it, {plan.after_s:g} s after it was over"
    )


def _figures(seen: Sequence[Seen]) -> str:
    heads = (
        "what happens", "calls", "failed", "wrong", "p50, ms", "p99, ms", "max, ms", "longest wait, ms",
        "answers shared", "used again after", "log lines",
    )  # fmt: skip
    rows = [_row(each.trouble.title, each.outcome) for each in seen if each.outcome is not None]
    table = "\n".join([f"| {' | '.join(heads)} |", f"|{'---|' * len(heads)}", *rows])
    skipped = [each.trouble for each in seen if isinstance(each.trouble, Skipped)]
    left_out = [f"- Left out: {each.title}: {each.reason}." for each in skipped]
    notes = (
        "Three figures are before · during · after. Latencies are of calls that were not streamed, hits and misses "
        "together, over TLS; *longest wait* is the longest that any call, streams included, waited for its next byte "
        "while the trouble lasted; *answers shared*: how many of the questions that were asked a second time, at "
        "another replica (of the disk: at the same one), were answered without the provider, before and during; "
        "*used again after*: from the moment that the server worked again; *log lines*: of the replica that had "
        "more, calls' lines not counted. Calls that a killed or restarted proxy had are counted apart, in brackets."
    )
    return "\n".join(["## What was measured\n", table, "", notes, "", *left_out, ""])


def _row(title: str, outcome: Outcome) -> str:
    cut_off = f" ({outcome.cut_off})" if outcome.cut_off else ""
    came_back = "**never**" if outcome.recovered_s is None else f"{outcome.recovered_s:.1f} s"
    cells = (
        title,
        f"{outcome.calls:,}",
        f"{_zero(outcome.failed)}{cut_off}",
        _zero(outcome.wrong),
        _three(outcome, lambda latency: latency.p50_ms),
        _three(outcome, lambda latency: latency.p99_ms),
        _three(outcome, lambda latency: latency.max_ms),
        f"{outcome.longest_wait_s * 1000:.0f}",
        f"{_share(outcome.shared_before)} · {_share(outcome.shared_during)}",
        came_back,
        str(max(log.lines for log in outcome.logs)),
    )
    return f"| {' | '.join(cells)} |"


def _zero(count: int) -> str:
    return f"**{count}**" if count else "0"


def _three(outcome: Outcome, figure: Callable[[Latency], float]) -> str:
    return " · ".join([_ms(figure(latency)) for latency in (outcome.before, outcome.during, outcome.after)])


def _ms(value: float) -> str:
    return "–" if math.isnan(value) else f"{value:.1f}" if value < 10 else f"{value:.0f}"


def _share(value: float) -> str:
    return "–" if math.isnan(value) else f"{value:.0%}"


def _words(seen: Sequence[Seen]) -> str:
    parts = [
        _paragraph(each.trouble, each.outcome)
        for each in seen
        if isinstance(each.trouble, Trouble) and each.outcome is not None
    ]
    return "\n".join(["## What to expect\n", *parts])


def _paragraph(trouble: Trouble, outcome: Outcome) -> str:
    most = max(outcome.logs, key=lambda log: log.lines)
    logged = ", ".join(f"`{name}` × {count}" for name, count in sorted(most.events.items())) or "nothing"
    lines = [
        f"### {trouble.title}\n",
        f"- A call notices: {trouble.notices}",
        f"- It ends: {trouble.recovers}",
        f"- The log of a replica: {logged}.",
        *(f"- {remark}." for remark in outcome.remarks),
        *(f"- **Not passed**: `{text}`" for text in outcome.texts),
        "",
    ]
    return "\n".join(lines)
