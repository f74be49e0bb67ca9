"""What operators see: readiness, statistics and gauges, read from the parts when somebody asks."""

import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from typing import Literal

from proxy import version
from proxy.admin import held
from proxy.admin.stock import Stock
from proxy.counters import Counters
from proxy.edge.bridge import Bridge, Snapshot
from proxy.fleet.shown import Flights
from proxy.ledger.writer import LedgerWriter
from proxy.metrics import Gauge
from proxy.stores.base import StoreStats
from proxy.stores.invalidation import Invalidated, Invalidations
from proxy.stores.rules import Kind
from proxy.stores.tiers import Tiers

type Samples = list[tuple[tuple[str, ...], float]]


@dataclass(frozen=True, slots=True)
class Readiness:
    """May traffic come? `reasons`: why not, or what is degraded."""

    ready: bool
    reasons: tuple[str, ...] = ()


def said(readiness: Readiness) -> tuple[int, str]:
    """The status and text of /readyz."""
    lines = ("ready" if readiness.ready else "not ready", *readiness.reasons)
    return 200 if readiness.ready else 503, "".join(f"{line}\n" for line in lines)


@dataclass(frozen=True, slots=True)
class Views:
    """The parts that are looked at."""

    snapshot: Callable[[], Snapshot]
    state: Callable[[], Literal["starting", "running", "stopping"]]
    bridge: Bridge
    store: Tiers
    invalidations: Invalidations
    stock: Stock
    counters: Counters
    ledger: LedgerWriter | None
    started_at: float
    flights: Flights | None = None  # shared with other replicas

    def readiness(self) -> Readiness:
        """Ready from the listeners' opening to the first sign of stopping. A degraded ledger is said, and keeps no
        traffic away."""
        state = self.state()
        reasons: list[str] = []
        if state != "running":
            reasons.append(state)
        if self.ledger is not None and (status := self.ledger.status()).state != "ok":
            reasons.append(f"degraded: ledger: {status.reason}")
        return Readiness(ready=state == "running", reasons=tuple(reasons))

    async def clear_cache(self) -> int:
        """Forget every answer; returns how many there were in memory."""
        return await self.store.clear()

    async def invalidate(self, kind: Kind, value: str) -> Invalidated:
        """See Invalidations."""
        return await self.invalidations.invalidate(kind, value)

    def labels(self) -> dict[str, str]:
        """Whose this process is: on every sample of /metrics."""
        return self.snapshot().settings.attribution.on_samples

    def stats(self) -> dict[str, object]:
        """The body of /v1/stats."""
        snapshot = self.snapshot()
        return {
            "version": version(),
            "uptime_s": round(time.time() - self.started_at, 1),
            "profile": snapshot.settings.profile,
            "labels": snapshot.settings.attribution.labels,
            "calls": self.counters.totals(),
            "cache": {tier.tier: _tier_said(tier) for tier in self.store.each_stats()},
            "client_connections": len(self.bridge.connections),
            "exchanges_in_flight": len(self.bridge.tasks),
            "pinned": self.bridge.pins.pinned(),
            "fleet_flights": asdict(self.flights.now) if self.flights is not None else None,
            "upstream": [asdict(use) for use in snapshot.pool.use()],
            "ledger": asdict(self.ledger.status()) if self.ledger is not None else None,
            "process": asdict(held.look()),
        }

    def gauges(self) -> Iterable[Gauge]:
        """Everything that is a state rather than an event."""
        by_origin = ("origin", "protocol")
        yield Gauge("skinflint_upstream_connections", "Open connections to an origin.", by_origin, self._connections)
        yield Gauge("skinflint_upstream_in_flight", "Calls under way to an origin.", by_origin, self._in_flight)
        yield Gauge("skinflint_cache_bytes", "What the cache holds.", ("tier",), self._cache_bytes)
        yield Gauge("skinflint_cache_entries", "Answers in the cache.", ("tier",), self._cache_entries)
        yield Gauge("skinflint_client_connections_open", "Client connections intercepted now.", (), self._clients)
        yield Gauge("skinflint_exchanges_in_flight", "Calls being answered now.", (), self._exchanges)
        yield Gauge("skinflint_ledger_rows", "Rows of the ledger, by state.", ("state",), self._ledger_rows)
        yield Gauge("skinflint_tasks", "Tasks that have not ended, by kind.", ("kind",), self._tasks)

    def _connections(self) -> Samples:
        return [((use.origin, use.protocol), float(use.connections)) for use in self.snapshot().pool.use()]

    def _in_flight(self) -> Samples:
        return [((use.origin, use.protocol), float(use.in_flight)) for use in self.snapshot().pool.use()]

    def _cache_bytes(self) -> Samples:
        return [((tier.tier,), float(tier.used_bytes)) for tier in self.store.each_stats() if tier.used_bytes >= 0]

    def _cache_entries(self) -> Samples:
        return [((tier.tier,), float(tier.entries)) for tier in self.store.each_stats() if tier.entries >= 0]

    def _clients(self) -> Samples:
        return [((), float(len(self.bridge.connections)))]

    def _exchanges(self) -> Samples:
        return [((), float(len(self.bridge.tasks)))]

    def _tasks(self) -> Samples:
        return [((kind,), float(count)) for kind, count in held.tasks_by_kind().items()]

    def _ledger_rows(self) -> Samples:
        if self.ledger is None:
            return []
        status = self.ledger.status()
        states = (("queued", status.queued), ("written", status.written), ("lost", status.lost))
        return [((state,), float(count)) for state, count in states]


def _tier_said(tier: StoreStats) -> dict[str, object]:
    return {
        "entries": tier.entries,
        "used_bytes": tier.used_bytes,
        "limit_bytes": tier.limit_bytes,
        "evicted": tier.evicted,
        "hits": tier.hits,
        "misses": tier.misses,
        "failures": tier.failures,
        "down": int(not tier.is_up),
    }
