"""What the admin listener answers: for this process alone, or (proxy/workers/fleet_answers.py) for all workers."""

from dataclasses import dataclass
from typing import Protocol

from prometheus_client.registry import Collector

from proxy.admin.views import Readiness, Views
from proxy.metrics import Labelled
from proxy.stores.invalidation import Invalidated
from proxy.stores.rules import Kind


@dataclass(frozen=True, slots=True)
class Cleared:
    """What became of the order to forget every answer."""

    entries: int
    unreached: tuple[str, ...] = ()  # workers and stores that did not say that they have


class Answers(Protocol):
    """What operators may ask."""

    async def readiness(self) -> Readiness:
        """May traffic come?"""
        ...

    async def metrics(self) -> Collector:
        """All metrics, as they are now."""
        ...

    async def stats(self) -> dict[str, object]:
        """The body of /v1/stats."""
        ...

    async def clear_cache(self) -> Cleared:
        """Forget every answer."""
        ...

    async def invalidate(self, kind: Kind, value: str) -> Invalidated:
        """Forget what this covers. Raises ValueError and TimeoutError as Invalidations do."""
        ...


class Alone:
    """Of a proxy of one process."""

    def __init__(self, registry: Collector, views: Views) -> None:
        self._registry = registry
        self._views = views

    async def readiness(self) -> Readiness:
        return self._views.readiness()

    async def metrics(self) -> Collector:
        return Labelled(self._registry, self._views.labels())

    async def stats(self) -> dict[str, object]:
        return self._views.stats()

    async def clear_cache(self) -> Cleared:
        told = await self._views.invalidate(Kind.ALL, "")
        return Cleared(await self._views.clear_cache(), told.unreached)

    async def invalidate(self, kind: Kind, value: str) -> Invalidated:
        return await self._views.invalidate(kind, value)
