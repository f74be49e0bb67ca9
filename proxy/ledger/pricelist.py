"""The bundled price list (genai-prices), read into our own rates.

Rules: nothing here imports the list until the first call, for that takes 0.2 s; nothing fetches prices from the
network. Provider ids are compared exactly and models by the list's own rules, or by none. What the list prices by
modality and a usage does not tell apart (images, video) has no rate, so that such a call is unpriced rather than wrong.
"""

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Final

from proxy.ledger.rates import FREE, PER_MILLION_TOKENS, PER_UNIT, Level, Rates, whole

if TYPE_CHECKING:
    from genai_prices.types import ModelInfo, ModelPrice, Provider, TieredPrices

KEYS: Final = (
    ("input", "input_mtok"),
    ("output", "output_mtok"),
    ("cache_read", "cache_read_mtok"),
    ("cache_write", "cache_write_mtok"),
    ("cache_write_1h", "cache_write_1h_mtok"),
    ("reasoning", "output_reasoning_mtok"),
    ("input_audio", "input_audio_mtok"),
    ("output_audio", "output_audio_mtok"),
    ("per_request", "requests_kcount"),
    ("per_search", "web_searches_kcount"),
)

# Tokens of these kinds are counted in the totals that providers report, at a price of their own.
APART: Final = {
    "input": ("input_image_mtok", "input_video_mtok", "input_text_messages_kcount"),
    "output": ("output_image_mtok", "output_video_mtok", "output_citation_mtok"),
}


@dataclass(frozen=True, slots=True)
class ListedModel:
    """A model that the list knows. `own` is False for one that the provider resells at its maker's price."""

    info: "ModelInfo"
    own: bool

    def levels(self, at: datetime, context: Mapping[str, str]) -> tuple[Level, ...] | None:
        """Rates at a time. With a context (service tier, batch, speed): those of the variant for it, or None when the
        list has no such variant. None also for a model that is listed without any price."""
        if not context:
            return _levels(self.info.id, self.info.get_prices(at))
        if not self.own or not any(
            variant.prices.__dict__
            and all(context.get(key) == value for key, value in variant.when.items())
            and (variant.constraint is None or variant.constraint.active(at))
            for variant in self.info.price_variants or ()
        ):
            return None
        return _levels(self.info.id, self.info.get_prices(at, context))


class PriceList:
    """The bundled list. Safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._providers: dict[str, Provider] | None = None
        self._version = ""

    @property
    def version(self) -> str:
        """The release of the list, for example `genai-prices/0.2.3`."""
        self.load()
        return self._version

    def load(self) -> "dict[str, Provider]":
        """Import the list, once."""
        with self._lock:
            if self._providers is None:
                import genai_prices  # noqa: PLC0415  (0.2 s: start-up must not pay for it)
                from genai_prices.data_snapshot import get_snapshot  # noqa: PLC0415

                self._version = f"genai-prices/{genai_prices.__version__}"
                self._providers = {provider.id: provider for provider in get_snapshot().providers}
            return self._providers

    def find(self, price_id: str, model: str) -> ListedModel | None:
        """The model, or None when the list does not know it or its provider."""
        providers = self.load()
        provider = providers.get(price_id)
        if provider is None or not model:
            return None
        info = provider.find_model(model, all_providers=list(providers.values()))
        if info is None:
            return None
        return ListedModel(info, any(info is one for one in provider.models))


def _levels(model_id: str, price: "ModelPrice") -> tuple[Level, ...] | None:
    listed: dict[str, Decimal | TieredPrices] = {key: value for key, value in vars(price).items() if value is not None}
    if not listed:
        # The list has no price for many a model it knows; only this suffix means that there is nothing to pay.
        return (Level(-1, FREE),) if model_id.endswith(":free") else None
    starts = sorted({tier.start for value in listed.values() if not isinstance(value, Decimal) for tier in value.tiers})
    return tuple(Level(start, _rates(listed, start)) for start in (-1, *starts))


def _rates(listed: "Mapping[str, Decimal | TieredPrices]", start: int) -> Rates:
    rates: dict[str, int] = {}
    for kind, key in KEYS:
        value = listed.get(key)
        if value is not None:
            rates[kind] = whole(
                _at(value, start) * (PER_UNIT / 1000 if key.endswith("_kcount") else PER_MILLION_TOKENS)
            )
    for kind, keys in APART.items():
        base = listed.get(f"{kind}_mtok")
        if any(key in listed and listed[key] != base for key in keys):
            rates.pop(kind, None)
    return Rates(**rates)


def _at(value: "Decimal | TieredPrices", start: int) -> Decimal:
    """The price that holds above `start` input tokens: crossing a threshold reprices the whole call."""
    if isinstance(value, Decimal):
        return value
    price = value.base
    for tier in value.tiers:
        if tier.start <= start:
            price = tier.price
    return price
