"""cache_again: looks into the cache a second time, just before a call would go upstream; only where others share it.

The first look was before this process claimed the call. The worker or replica that had claimed it until a moment ago
has stored its answer since: it does so before it gives its claim back.
"""

from addons.cache import CacheStage
from proxy.exchange.chain import Handler
from proxy.exchange.model import Exchange, Response


class CacheAgain:
    """The stage."""

    name = "cache_again"

    def __init__(self, cache: CacheStage) -> None:
        self._cache = cache

    async def handle(self, exchange: Exchange, call_next: Handler) -> Response:
        response = await self._cache.again(exchange) if exchange.collapses else None
        return response if response is not None else await call_next(exchange)
