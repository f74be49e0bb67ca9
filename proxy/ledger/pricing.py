"""What an exchange cost: the price book, asked with what an exchange knows of its provider and model."""

from proxy.exchange.model import Exchange
from proxy.exchange.usage import Usage
from proxy.ledger.prices import PriceBook

_FREE = frozenset({"models", "moderations", "count_tokens"})  # answered without usage, and without charge


class ExchangePricing:
    """Implements addons.meter.Pricing."""

    def __init__(self, book: PriceBook) -> None:
        self._book = book
        self._version = ""

    @property
    def version(self) -> str:
        """Of the last price that was found."""
        return self._version

    def cost(self, exchange: Exchange, usage: Usage | None) -> int | None:
        """Nano-dollars. None (unpriced) when the price or the usage is unknown; 0 for what no provider charges for:
        failed calls, and operations that are free."""
        provider, call = exchange.provider, exchange.call
        if provider is None:
            return 0
        if usage is None:
            expected = call is not None and call.reader is not None and 200 <= call.status < 300
            return None if expected and exchange.operation.name not in _FREE else 0
        model = usage.model or exchange.facts.model
        price = self._book.price(provider.price_id, model, usage, operation=exchange.operation.name)
        if price is None and usage.model and exchange.facts.model != usage.model:
            price = self._book.price(provider.price_id, exchange.facts.model, usage, operation=exchange.operation.name)
        if price is None:
            return None
        self._version = price.version
        return price.nanousd
