"""Makes one trouble after another under load, and looks at what calls noticed.

Rules: a scene's load runs on from its first trouble to its last, so that each begins with replicas that know what came
before. A trouble is over when the tier is used again, or after `recover_s`.
"""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from bench.reliability.load import Load
from bench.reliability.records import Log, Outcome, Record, latency, recovery, shared, split
from bench.reliability.replica import Replica
from bench.reliability.scenes import Scene
from bench.reliability.trouble import Skipped, Trouble

_POLL_S: Final = 0.1
_TEXTS: Final = 5


@dataclass(frozen=True, slots=True)
class Plan:
    """How long, how many."""

    before_s: float
    trouble_s: float
    after_s: float
    recover_s: float
    clients: int
    seed: int


@dataclass(frozen=True, slots=True)
class Seen:
    """A trouble, and what came of it; None when it was left out."""

    trouble: Trouble | Skipped
    outcome: Outcome | None


async def play(scene: Scene, plan: Plan, only: frozenset[str], say: Callable[[str], None]) -> list[Seen]:
    """All troubles of a scene. Raises BenchFailed when a server does not do what it is told."""
    seen = []
    async with Load(scene.replicas, plan.clients, plan.seed) as load:
        for trouble in scene.troubles:
            if isinstance(trouble, Skipped):
                say(f"{trouble.title}: left out: {trouble.reason}")
                seen.append(Seen(trouble, None))
            elif not only or trouble.name in only:
                outcome = await _make(trouble, scene, load, plan)
                say(_line(outcome))
                seen.append(Seen(trouble, outcome))
    return seen


async def _make(trouble: Trouble, scene: Scene, load: Load, plan: Plan) -> Outcome:
    await _used(load, time.monotonic(), plan.recover_s)
    load.records.clear()
    sizes = [replica.log_size() for replica in scene.replicas]
    await asyncio.sleep(plan.before_s)
    begun_at = time.monotonic()
    back_at = await asyncio.to_thread(trouble.make)
    recovered_s = await _used(load, back_at, plan.recover_s)
    await asyncio.sleep(plan.after_s)
    logs = [_log(replica, size) for replica, size in zip(scene.replicas, sizes, strict=True)]
    return _outcome(trouble, list(load.records), begun_at, back_at, recovered_s, tuple(logs))


async def _used(load: Load, since: float, within_s: float) -> float | None:
    """Wait until the tier is used, but no longer than that; returns after how long it was. Seen once is enough: a call
    that began earlier, and is still under way, may break the row when it ends."""
    give_up_at = time.monotonic() + within_s
    while (recovered_s := recovery(load.records, since)) is None and time.monotonic() < give_up_at:
        await asyncio.sleep(_POLL_S)
    return recovered_s


def _log(replica: Replica, since: int) -> Log:
    return Log(replica.name, replica.logged(since))


def _outcome(
    trouble: Trouble,
    records: list[Record],
    begun_at: float,
    back_at: float,
    recovered_s: float | None,
    logs: tuple[Log, ...],
) -> Outcome:
    before, during, after = split(records, begun_at, back_at)
    failed = [each for each in records if each.failure and not each.is_cut_off]
    wrong = [each for each in records if each.wrong]
    texts = [f"{each.kind}: {each.failure or each.wrong}" for each in [*wrong, *failed]]
    return Outcome(
        name=trouble.name,
        lasted_s=back_at - begun_at,
        calls=len(records),
        failed=len(failed),
        wrong=len(wrong),
        cut_off=sum(each.is_cut_off for each in records),
        texts=tuple(texts[:_TEXTS]),
        before=latency(before),
        during=latency(during),
        after=latency(after),
        longest_wait_s=max((each.longest_wait_s for each in during if not each.is_cut_off), default=0.0),
        shared_before=shared(before),
        shared_during=shared(during),
        recovered_s=recovered_s,
        logs=logs,
        remarks=trouble.remarks(),
    )


def _line(outcome: Outcome) -> str:
    came_back = "never" if outcome.recovered_s is None else f"after {outcome.recovered_s:.1f} s"
    logged = "; ".join(f"{log.replica}: {log.events}" for log in outcome.logs)
    figures = (
        f"{outcome.name}: {outcome.calls:,} calls, {outcome.failed} failed, {outcome.wrong} wrong, "
        f"{outcome.cut_off} cut off; p99 {outcome.before.p99_ms:.0f}/{outcome.during.p99_ms:.0f}/"
        f"{outcome.after.p99_ms:.0f} ms, longest wait {outcome.longest_wait_s * 1000:.0f} ms; shared "
        f"{outcome.shared_before:.0%}/{outcome.shared_during:.0%}; used again {came_back}; {logged}"
    )
    return "\n  ".join([figures, *outcome.remarks, *outcome.texts])
