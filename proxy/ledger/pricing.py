"""What an exchange cost: the price book, asked with what an exchange knows of its provider and model."""

from proxy.exchange.model import Exchange
from proxy.exchange.provider import CallFacts, Provider
from proxy.exchange.usage import Usage
from proxy.ledger.prices import PriceBook

_FREE = frozenset({"models", "moderations", "count_tokens"})  # answered without usage, and without charge


class ExchangePricing:
    """Implements addons.meter.Pricing."""

    def __init__(self, book: PriceBook) -> None:
        self._book = book
        self._version = ""
        self._priced: tuple[Usage, CallFacts] | None = None  # of the call that was priced last
        self._cost: int | None = None

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
        # The answer's head, the store and the ledger ask for the same call in one turn of the loop.
        priced = self._priced
        if priced is None or priced[0] is not usage or priced[1] is not exchange.facts:
            self._cost = self._find(provider, exchange, usage)
            self._priced = (usage, exchange.facts)
        return self._cost

    def _find(self, provider: Provider, exchange: Exchange, usage: Usage) -> int | None:
        operation, asked = exchange.operation.name, exchange.facts.model
        price = self._book.price(provider.price_id, usage.model or asked, usage, operation=operation)
        if price is None and usage.model and asked != usage.model:
            price = self._book.price(provider.price_id, asked, usage, operation=operation)
        if price is None:
            return None
        self._version = price.version
        return price.nanousd
