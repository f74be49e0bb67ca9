"""What was seen of each call, and what is made of it.

Rules: pure. A call belongs to the time in which the trouble was if it overlaps it at all.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

STREAK: Final = 8  # questions in a row that the cache answers: so many that it is no luck


@dataclass(frozen=True, slots=True)
class Record:
    """One call. Times are of the monotonic clock."""

    kind: str
    began: float
    ended: float
    was_hit: bool = False
    failure: str = ""  # why it failed; empty when it did not
    wrong: str = ""  # what was wrong with its answer
    is_cut_off: bool = False  # the proxy that had it was killed
    longest_wait_s: float = 0.0  # for the next byte
    is_streamed: bool = False


@dataclass(frozen=True, slots=True)
class Latency:
    """Of the calls of a time that were not streamed, in milliseconds."""

    calls: int
    p50_ms: float
    p99_ms: float
    max_ms: float


@dataclass(frozen=True, slots=True)
class Log:
    """What one replica logged, its calls' lines left out."""

    replica: str
    events: dict[str, int] = field(default_factory=dict)

    @property
    def lines(self) -> int:
        """How many."""
        return sum(self.events.values())


@dataclass(frozen=True, slots=True)
class Outcome:
    """Of one trouble."""

    name: str
    lasted_s: float
    calls: int
    failed: int
    wrong: int
    cut_off: int
    texts: tuple[str, ...]  # of what failed and what was wrong, the first ones
    before: Latency
    during: Latency
    after: Latency
    longest_wait_s: float  # of any call while it lasted, for the next byte
    shared_before: float  # share of the questions that were answered from the tier, asked a second time
    shared_during: float
    recovered_s: float | None  # until the tier was used again; None: it never was
    logs: tuple[Log, ...]
    remarks: tuple[str, ...] = ()

    @property
    def passed(self) -> bool:
        """No failed call, no wrong answer, full recovery."""
        return not self.failed and not self.wrong and self.recovered_s is not None


def latency(records: Sequence[Record]) -> Latency:
    """Of those that were answered whole."""
    times = sorted((each.ended - each.began) * 1000 for each in records if not each.is_streamed and not each.failure)
    if not times:
        return Latency(0, math.nan, math.nan, math.nan)
    return Latency(len(times), _quantile(times, 0.5), _quantile(times, 0.99), times[-1])


def _quantile(times: Sequence[float], share: float) -> float:
    return times[min(len(times) - 1, math.ceil(len(times) * share) - 1)]


def recovery(records: Sequence[Record], back_at: float) -> float | None:
    """Seconds from `back_at` to the first of STREAK second questions in a row that were answered from the tier."""
    streak: list[float] = []
    for each in sorted(records, key=lambda record: record.began):
        if each.kind != "second" or each.began < back_at:
            continue
        streak = [*streak, each.ended] if each.was_hit else []
        if len(streak) == STREAK:
            return streak[0] - back_at
    return None


def shared(records: Sequence[Record]) -> float:
    """The share of second questions that were answered from the tier."""
    seconds = [each for each in records if each.kind == "second"]
    return sum(each.was_hit for each in seconds) / len(seconds) if seconds else math.nan


def split(
    records: Sequence[Record], begun_at: float, back_at: float
) -> tuple[list[Record], list[Record], list[Record]]:
    """Before, during and after."""
    before = [each for each in records if each.ended < begun_at]
    during = [each for each in records if each.ended >= begun_at and each.began <= back_at]
    after = [each for each in records if each.began > back_at]
    return before, during, after
