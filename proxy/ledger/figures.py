"""What a report says: sums of money, tokens, counts and times, as plain values.

Rules: an amount that is unknown is counted, never added as zero, and is shown as `unpriced`. Ratios are None when there
is nothing to divide. All instants are UTC.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

SHORTEST_PROJECTION_S: Final = 60.0  # what a shorter window would say about a month is noise
SOUND_PROJECTION_S: Final = 86_400.0  # traffic repeats daily: from less than a day it is a guess
MONTH_S: Final = 30 * 86_400.0


@dataclass(frozen=True, slots=True)
class Money:
    """A sum of nano-dollars, and how many calls have an amount that is not known and therefore not in it."""

    nanousd: int = 0
    unpriced_calls: int = 0

    @property
    def is_unknown(self) -> bool:
        """True when there is no priced amount at all, but calls that should have one."""
        return self.unpriced_calls > 0 and self.nanousd == 0


@dataclass(frozen=True, slots=True)
class Tokens:
    """Tokens by kind. Input and output are totals; the others are parts of them."""

    input: int = 0
    output: int = 0
    cache_read: int = 0
    cache_write: int = 0
    reasoning: int = 0
    audio: int = 0

    @property
    def total(self) -> int:
        """Input and output."""
        return self.input + self.output


@dataclass(frozen=True, slots=True)
class Times:
    """The median and the 95th percentile, in milliseconds; None without a value."""

    p50_ms: float | None = None
    p95_ms: float | None = None


@dataclass(frozen=True, slots=True)
class Measures:
    """The figures of one group of calls, or of all."""

    calls: int = 0
    hits: int = 0
    collapsed: int = 0
    misses: int = 0
    bypass: int = 0
    refused: int = 0
    errors: int = 0
    tokens: Tokens = Tokens()
    cost: Money = Money()
    saved: Money = Money()
    potential: Money = Money()  # paid, and `cache.sampling: any` would have saved it
    discount: Money = Money()  # by the provider's own prompt cache, less what writing to it cost
    lost_discount: Money = Money()  # it could have saved besides; an estimate
    unpriced_calls: int = 0  # whose cost or saving is not known
    estimated_calls: int = 0  # whose tokens were counted from a cut-off stream
    total: Times = Times()
    overhead: Times = Times()
    first_byte: Times = Times()

    @property
    def answered_here(self) -> int:
        """Calls that cost nothing: hits and collapsed ones."""
        return self.hits + self.collapsed

    @property
    def hit_ratio(self) -> float | None:
        """Of the calls that could be answered again, the share that was."""
        return _ratio(self.answered_here, self.answered_here + self.misses)

    @property
    def hit_share(self) -> float | None:
        """Of all calls, the share that was answered here."""
        return _ratio(self.answered_here, self.calls)

    @property
    def saved_share(self) -> float | None:
        """Of what would have been paid without Skinflint, the share that was not. Priced calls only."""
        return _ratio(self.saved.nanousd, self.saved.nanousd + self.cost.nanousd)


@dataclass(frozen=True, slots=True)
class Group:
    """One line of the grouping; `keys` are in the order of `Report.by`."""

    keys: tuple[str, ...]
    measures: Measures


@dataclass(frozen=True, slots=True)
class Bucket:
    """One step of time."""

    start: datetime
    calls: int
    answered_here: int
    cost: Money
    saved: Money


@dataclass(frozen=True, slots=True)
class Waste:
    """Calls that were paid although an identical one had been answered before."""

    provider: str
    operation: str
    model: str
    repeats: int
    potential: Money


@dataclass(frozen=True, slots=True)
class PromptCaching:
    """What a provider's own prompt cache did for the calls that went upstream for one model."""

    provider: str
    model: str
    calls: int
    input: int  # tokens, as are the next three
    cache_read: int
    cache_write: int
    lost_tokens: int  # could have been read from it besides; an estimate
    saved: Money  # by reading from it, less what writing to it cost
    lost: Money

    @property
    def read_share(self) -> float | None:
        """Of all input tokens, the share that was read from it."""
        return _ratio(self.cache_read, self.input)


@dataclass(frozen=True, slots=True)
class PrefixLoss:
    """Why tokens were not read from a provider's prompt cache, for the calls of one model and application."""

    provider: str
    model: str
    app: str  # the label; empty without one
    broken_by: str  # see proxy.exchange.record.PromptCache
    calls: int
    broken_at: int  # characters into the part that breaks it; the least of all calls
    broken_of: int  # the part's size; the largest
    lost_tokens: int
    lost: Money


@dataclass(frozen=True, slots=True)
class Projection:
    """What 30 days would bring if they went on like the window that was observed."""

    observed_s: float
    cost: Money
    saved: Money
    potential: Money

    @property
    def is_sound(self) -> bool:
        """False when the window is shorter than a day."""
        return self.observed_s >= SOUND_PROJECTION_S


@dataclass(frozen=True, slots=True)
class Report:
    """What the ledger says about a time and the calls in it."""

    ledger: str
    since: datetime
    until: datetime
    by: tuple[str, ...]
    where: tuple[tuple[str, str], ...]
    totals: Measures
    groups: tuple[Group, ...]  # the dearest first; all of them
    bucket_s: int
    series: tuple[Bucket, ...]  # without gaps
    waste: tuple[Waste, ...]
    projection: Projection | None  # None: nothing was recorded, or for too short a time
    prompt_caching: tuple[PromptCaching, ...] = ()  # the dearest first
    prefix_losses: tuple[PrefixLoss, ...] = ()  # the dearest first


def _ratio(part: int, whole: int) -> float | None:
    return part / whole if whole else None
