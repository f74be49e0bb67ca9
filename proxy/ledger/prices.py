"""What a call cost, in whole nano-dollars: the price files first, then the bundled list.

Rules: an unknown provider, model or service tier is unpriced (None), never 0; only a model that is known to be free
costs 0. The price follows the service tier that the response named. Nothing is fetched from the network. A model's
resolved rates are kept for the minute they hold in, since prices change by date and by time of day.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from functools import lru_cache
from typing import Final

from config.prices import TOKEN_KINDS, PriceEntry, PriceOverrides
from proxy.exchange.usage import Usage
from proxy.ledger.pricelist import ListedModel, PriceList
from proxy.ledger.rates import FREE, PER_MILLION_TOKENS, PER_UNIT, Card, Level, Rates, leveled, whole

MODELS_KEPT: Final = 4096  # names come from responses and URLs; a lookup costs up to a millisecond, an entry 200 bytes
CARDS_KEPT: Final = 2048

STANDARD_TIERS: Final = frozenset({"", "default", "standard", "auto", "on_demand"})
BATCH: Final = "batch"


@dataclass(frozen=True, slots=True)
class Price:
    """A price, and what it was taken from."""

    nanousd: int
    version: str  # changes whenever a price could: the list's release, the price files' digest
    source: str  # `genai-prices`, `overrides`, or `overrides+genai-prices`


class PriceBook:
    """Prices calls. Safe to use from several threads; the first price, or `warm`, takes 0.2 s."""

    def __init__(self, overrides: PriceOverrides, *, clock: Callable[[], float] = time.time) -> None:
        self._overrides = overrides
        self._clock = clock
        self._list = PriceList()
        self._listed = lru_cache(maxsize=MODELS_KEPT)(self._list.find)
        self._card = lru_cache(maxsize=CARDS_KEPT)(self._resolve)

    def warm(self) -> None:
        """Load the bundled list now; meant for a background thread."""
        self._list.load()

    def price(
        self, provider_price_id: str, model: str, usage: Usage | None, *, operation: str, at: datetime | None = None
    ) -> Price | None:
        """What a call cost at a time (now by default; naive times are UTC); None when it is unpriced."""
        if usage is None or not model:
            return None
        tier = BATCH if operation == "batches" else usage.service_tier.lower()
        card = self._card(provider_price_id, model, "" if tier in STANDARD_TIERS else tier, self._minute(at))
        if card is None:
            return None
        amount = card.charge(usage)
        return None if amount is None else Price(amount, card.version, card.source)

    def _minute(self, at: datetime | None) -> int:
        if at is None:
            return int(self._clock() // 60)
        return int((at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp() // 60)

    def _resolve(self, price_id: str, model: str, tier: str, minute: int) -> Card | None:
        at = datetime.fromtimestamp(minute * 60, UTC)
        entry = self._overrides.find(price_id, model, at.date())
        digest = f"overrides/{self._overrides.digest}"
        if entry is not None and entry.free:
            return Card((Level(-1, FREE),), digest, "overrides")
        listed = self._listed(price_id, model)
        if entry is None:
            levels = listed.levels(at, _context(tier)) if listed else None
            return Card(leveled(levels, {}, None), self._list.version, "genai-prices") if levels else None
        levels = self._overridden(entry, listed, tier, at)
        if levels is None:
            return None
        if listed is None:
            return Card(levels, digest, "overrides")
        return Card(levels, f"{self._list.version}+{digest}", "overrides+genai-prices")

    def _overridden(
        self, entry: PriceEntry, listed: ListedModel | None, tier: str, at: datetime
    ) -> tuple[Level, ...] | None:
        """An entry's own prices laid over the listed ones, then its factor for the tier."""
        prices = {
            kind: whole(usd * (PER_MILLION_TOKENS if kind in TOKEN_KINDS else PER_UNIT))
            for kind, usd in entry.prices.items()
        }
        factor = _factor(entry, tier)
        if tier and factor is None:
            # A listed tier price belongs to the listed standard price, not to the one that replaced it.
            variant = listed.levels(at, _context(tier)) if listed and not prices else None
            return leveled(variant, {}, None) if variant else None
        base = listed.levels(at, {}) if listed else None
        if base is None and not prices:
            return None
        return leveled(base or (Level(-1, Rates()),), prices, factor)


def _factor(entry: PriceEntry, tier: str) -> Decimal | None:
    if not tier:
        return None
    return entry.batch if tier == BATCH and entry.batch is not None else entry.tiers.get(tier)


def _context(tier: str) -> dict[str, str]:
    """How the list names a service tier. `fast` is a tier at one maker and a speed at another."""
    if not tier:
        return {}
    if tier == BATCH:
        return {"processing": BATCH}
    return {"service_tier": tier, "speed": tier}
