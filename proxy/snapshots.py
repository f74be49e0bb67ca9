"""From settings to what exchanges run on: settings → pool → chain → snapshot.

Rules: a snapshot is built whole and swapped in whole, or not at all; exchanges that have begun keep theirs. A reload
that says the same of upstream keeps the pool with its connections; another pool takes over only with a new snapshot,
and the earlier one is closed once nothing leads to it any more.
"""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from addons import Parts, chain, repeats
from addons.collapse import Peers
from addons.identify import Identify
from addons.meter import Meter
from config.prices import load_prices
from config.schema import Settings
from proxy.access.parts import AccessParts
from proxy.access.reach import Reach
from proxy.books import Books
from proxy.cache_parts import CacheParts
from proxy.edge.bridge import Snapshot
from proxy.edge.master import going
from proxy.exchange.chain import compose
from proxy.exchange.model import Exchange, Response
from proxy.extensions import extra_stages
from proxy.ledger.prices import PriceBook
from proxy.ledger.pricing import ExchangePricing
from proxy.memory import settle as settle_memory
from proxy.outlet import Outlet, RetiredPools
from proxy.providers.registry import Registry
from proxy.semantic.state import SemanticState
from proxy.tasks import TaskSet
from proxy.upstream.guard import Guard
from proxy.upstream.pool import Pool
from proxy.upstream.resolver import Resolver

type OnRefused = Callable[[str, int], None]


@dataclass(frozen=True, slots=True)
class Lasting:
    """What every snapshot is handed, as it lives as long as the process does."""

    cache: CacheParts
    access: AccessParts
    books: Books
    semantic: SemanticState
    tasks: TaskSet
    peers: Peers | None  # whose calls may be joined; None: nobody else's
    address_refused: OnRefused


class Snapshots:
    """The snapshot in force, and its pool."""

    def __init__(self, lasting: Lasting, settings: Settings) -> None:
        """Raises SettingsError."""
        self._lasting = lasting
        self._retired = RetiredPools(time.monotonic)
        self._outlet = Outlet(_pool(settings, lasting.address_refused))
        self.current = self._build(settings, Registry.from_settings(settings), self._outlet)

    def start(self) -> None:
        """Begin with calls."""
        self.current.pool.start()

    def apply(self, settings: Settings, registry: Registry) -> None:
        """Swap the snapshot. Raises SettingsError when the new settings cannot be used."""
        before, outlet = self.current.settings, self._outlet
        if (settings.upstream, settings.destinations) != (before.upstream, before.destinations):
            outlet = Outlet(_pool(settings, self._lasting.address_refused))
        snapshot = self._build(settings, registry, outlet)
        if outlet is not self._outlet:
            outlet.pool.start()
            self._retired.add(self._outlet)
            self._outlet = outlet
        self.current = snapshot

    def rebuild(self) -> None:
        """The same settings once more: something lasting has changed."""
        self.current = self._build(self.current.settings, self.current.registry, self._outlet)

    async def close_unused(self) -> bool:
        """Close pools of earlier settings that nothing uses any more; True when there was one."""
        return await self._retired.close_unused()

    async def close(self) -> None:
        """Close all pools, whatever is under way."""
        await self._retired.close()
        await self.current.pool.close()

    def warm_prices(self) -> None:
        """The price list takes 0.2 s and 10 MB: not before there is a client, and beside the first call."""

        def load() -> None:
            self._prices.warm()
            settle_memory(collect=False)

        threading.Thread(target=load, name="prices", daemon=True).start()

    def _build(self, settings: Settings, registry: Registry, outlet: Outlet) -> Snapshot:
        lasting = self._lasting
        book = self._prices = PriceBook(load_prices(settings.cost.prices))
        parts = Parts(
            registry=registry,
            pricing=ExchangePricing(book),
            settled=lasting.books.settled,
            store=lasting.cache.store,
            rules=lasting.cache.rules,
            tasks=lasting.tasks,
            fingerprint_key=lasting.cache.key,
            extra=extra_stages(),
            peers=lasting.peers,
            semantic=lasting.semantic,
        )
        stages = chain(settings, parts)
        passing = [stage for stage in stages if isinstance(stage, Meter | Identify)]
        return Snapshot(
            settings=settings,
            registry=registry,
            handler=compose(stages, outlet, lasting.books.stage_failed),
            passing=compose(passing, _switched, lasting.books.stage_failed),
            pool=outlet.pool,
            repeats=repeats(stages, settings, parts),
            reach=Reach(settings.destinations, lambda host, port: registry.match(host, port) is not None),
            gate=lasting.access.gate(settings.access),
        )


def _pool(settings: Settings, on_refused: OnRefused) -> Pool:
    goings = [going(listener) for listener in settings.listeners]
    origins = [(where.host, where.port) for where in goings if where is not None and where.fixed]
    is_shared = bool(settings.shared_listeners)
    guard = Guard(settings.destinations, is_shared=is_shared, trusted=origins, on_refused=on_refused)
    ignores_hosts_file = any(listener.mode == "hosts" for listener in settings.listeners)
    resolver = Resolver(settings.upstream.resolve, ignore_hosts_file=ignores_hosts_file, guard=guard)
    return Pool(settings.upstream, resolver, guard)


async def _switched(exchange: Exchange) -> Response:
    """The end of the chain for what is relayed."""
    return Response(101, [], b"")
