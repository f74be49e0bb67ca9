"""Where the chain of stages ends: the pool; and the pools of earlier settings, until nothing leads to them any more.

A reload that changes `upstream` makes another pool. Exchanges that have begun keep the settings that they began with,
and so their pool: it may only be closed when none of them is under way in it, or still on the way to it.
"""

import weakref
from collections.abc import Awaitable, Callable
from typing import Final

from proxy.exchange.model import Exchange, Response
from proxy.upstream.pool import Pool

_LARGE_ANSWERS: Final = frozenset({"images", "audio", "speech", "files"})
# From an exchange's start to its call at the origin: longer than a name takes to be looked up, or a retry waits.
ON_THE_WAY_S: Final = 15.0


class Outlet:
    """The end of one pool's chain. It lives as long as an exchange or a flight has a way to it."""

    __slots__ = ("__weakref__", "pool")

    def __init__(self, pool: Pool) -> None:
        self.pool = pool

    def __call__(self, exchange: Exchange) -> Awaitable[Response]:
        operation = exchange.operation
        # An answer in one piece costs half; only operations whose answers are known to be small are read so.
        buffered = operation.answers and not exchange.facts.stream and operation.name not in _LARGE_ANSWERS
        return self.pool.send(exchange.request, buffered=buffered)


class RetiredPools:
    """Pools of earlier settings. `clock` is monotonic."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._waiting: list[tuple[Pool, weakref.ref[Outlet], float]] = []

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, outlet: Outlet) -> None:
        """New exchanges do not come here any more."""
        self._waiting.append((outlet.pool, weakref.ref(outlet), self._clock() + ON_THE_WAY_S))

    async def close_unused(self) -> bool:
        """Close those that nothing can reach; True when there was one. A failure's traceback may keep an outlet until a
        collection, hours after any call: so time decides too."""
        has_closed = False
        for entry in list(self._waiting):
            pool, outlet, reached_by = entry
            is_on_the_way = outlet() is not None and self._clock() < reached_by
            if not is_on_the_way and not any(use.in_flight or use.waiting for use in pool.use()):
                self._waiting.remove(entry)
                await pool.close()
                has_closed = True
        return has_closed

    async def close(self) -> None:
        """Close all, whatever is under way."""
        for pool, _, _ in self._waiting:
            await pool.close()
        self._waiting.clear()
