"""What one model charges for each kind of unit, as exact integers, and the sum for one call's usage.

Rules: amounts are atto-dollars (10^-18 USD), so that every listed price is a whole number per token and no sum rounds
before its end. A kind without a price of its own is charged as the kind it is part of. A kind that was used and has no
price at all makes the whole call unpriced: a partial sum would look like a total. Pure; imports no price list.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Final

from config.prices import TOKEN_KINDS
from proxy.exchange.usage import Usage

ATTO_PER_NANO: Final = 1_000_000_000

# What a kind is charged as when it has no price of its own; in the order in which it must be filled in.
PART_OF: Final = (
    ("cache_read", "input"),
    ("cache_write", "input"),
    ("cache_write_1h", "cache_write"),
    ("input_audio", "input"),
    ("reasoning", "output"),
    ("output_audio", "output"),
)

PER_MILLION_TOKENS: Final = Decimal(10) ** 12  # USD per million tokens -> atto-dollars per token
PER_UNIT: Final = Decimal(10) ** 18  # USD per unit -> atto-dollars per unit


@dataclass(frozen=True, slots=True)
class Rates:
    """Atto-dollars per token, call or search; None where nothing is charged by that kind alone."""

    input: int | None = None
    output: int | None = None
    cache_read: int | None = None
    cache_write: int | None = None
    cache_write_1h: int | None = None
    reasoning: int | None = None
    input_audio: int | None = None
    output_audio: int | None = None
    per_request: int | None = None
    per_search: int | None = None

    def overlaid(self, prices: Mapping[str, int]) -> "Rates":
        """These rates with the given kinds replaced."""
        return replace(self, **prices) if prices else self

    def multiplied(self, factor: Decimal) -> "Rates":
        """The token rates times `factor`; what is charged by call or search stays."""
        scaled = {
            kind: whole(Decimal(rate) * factor) for kind in TOKEN_KINDS if (rate := getattr(self, kind)) is not None
        }
        return replace(self, **scaled)

    def filled(self) -> "Rates":
        """These rates, every part that has no price charged as its whole."""
        known: dict[str, int | None] = {kind: getattr(self, kind) for kind in TOKEN_KINDS}
        for part, whole_kind in PART_OF:
            if known[part] is None:
                known[part] = known[whole_kind]
        return replace(self, **known)

    def charge(self, usage: Usage) -> int | None:
        """Atto-dollars for one call by `filled` rates; None when something used has no price."""
        plain_input = usage.input_tokens - usage.cache_read_tokens - usage.cache_write_tokens - usage.input_audio_tokens
        plain_output = usage.output_tokens - usage.reasoning_tokens - usage.output_audio_tokens
        total = self.per_request or 0
        for count, rate in (
            (plain_input, self.input),
            (plain_output, self.output),
            (usage.cache_read_tokens, self.cache_read),
            (usage.cache_write_tokens - usage.cache_write_1h_tokens, self.cache_write),
            (usage.cache_write_1h_tokens, self.cache_write_1h),
            (usage.reasoning_tokens, self.reasoning),
            (usage.input_audio_tokens, self.input_audio),
            (usage.output_audio_tokens, self.output_audio),
            (usage.web_searches, self.per_search),
        ):
            if (
                count > 0
            ):  # a provider's parts may exceed its total (cached audio counts in both): charge no less than 0
                if rate is None:
                    return None
                total += count * rate
        return total


FREE: Final = Rates(0, 0, 0, 0, 0, 0, 0, 0, 0, 0)


def whole(amount: Decimal) -> int:
    """The nearest whole number, ties to even."""
    return int(amount.to_integral_value(ROUND_HALF_EVEN))


def nanousd(atto: int) -> int:
    """Whole nano-dollars, ties to even."""
    nano, rest = divmod(atto, ATTO_PER_NANO)
    twice = 2 * rest
    if twice > ATTO_PER_NANO or (twice == ATTO_PER_NANO and nano % 2):
        return nano + 1
    return nano


@dataclass(frozen=True, slots=True)
class Level:
    """Rates that hold for the whole call when its input exceeds `above` tokens."""

    above: int
    rates: Rates


@dataclass(frozen=True, slots=True)
class Card:
    """The price of one model at one time in one service tier. `levels` ascend and begin below 0."""

    levels: tuple[Level, ...]
    version: str
    source: str

    def charge(self, usage: Usage) -> int | None:
        """Nano-dollars for one call; None when it cannot be priced."""
        rates = self.levels[0].rates
        for level in self.levels[1:]:
            if usage.input_tokens > level.above:
                rates = level.rates
        atto = rates.charge(usage)
        return None if atto is None else nanousd(atto)


def leveled(levels: Iterable[Level], prices: Mapping[str, int], factor: Decimal | None) -> tuple[Level, ...]:
    """Levels with overrides laid over, then a factor applied, then the gaps filled."""
    result: list[Level] = []
    for level in levels:
        rates = level.rates.overlaid(prices)
        if factor is not None:
            rates = rates.multiplied(factor)
        result.append(Level(level.above, rates.filled()))
    return tuple(result)
