"""Composition: settings → stores → pool → chain → edge. Read this first.

`Skinflint` is one running proxy; process.py is the process around it. Everything is made here and handed to those who
use it; nothing is global. A reload builds a new Snapshot and swaps it in whole: exchanges that have begun keep theirs.
"""

import asyncio
import os
import threading
import time
from dataclasses import replace
from typing import Literal

import structlog

from addons import Parts, chain, repeats
from addons.collapse import Peers, PeersInTurn
from addons.identify import Identify
from addons.meter import Meter
from config.prices import load_prices
from config.schema import Settings
from proxy import version
from proxy.access.parts import AccessParts
from proxy.access.reach import Reach
from proxy.admin.condition import Condition, Reloads
from proxy.admin.server import AdminServer
from proxy.admin.views import Views
from proxy.cache_parts import CacheParts
from proxy.call_log import CallLog
from proxy.counters import Counters
from proxy.edge.acceptor import ReadyListeners
from proxy.edge.bridge import Bridge, Snapshot
from proxy.edge.ca import CertificateAuthority
from proxy.edge.front import Front
from proxy.edge.leaf import LeafIssuer
from proxy.edge.master import Edge, ListenError, going
from proxy.edge.pins import PinMemory
from proxy.edge.provided_ca import ProvidedCa
from proxy.edge.refusals import Refusals
from proxy.exchange.chain import compose
from proxy.exchange.model import Exchange, Response
from proxy.exchange.record import CallRecord
from proxy.extensions import extra_stages
from proxy.fleet.shown import ShownFlights
from proxy.identity import Identity
from proxy.ledger.prices import PriceBook
from proxy.ledger.pricing import ExchangePricing
from proxy.ledger.writer import LedgerWriter
from proxy.logs import setup as setup_logs
from proxy.memory import Tide, trim
from proxy.memory import settle as settle_memory
from proxy.metrics import LiveGauges, Metrics
from proxy.outlet import Outlet, RetiredPools
from proxy.providers.registry import Registry
from proxy.runtime import BoundListener, Runtime
from proxy.semantic.state import SemanticState
from proxy.stopping import Closing, Sharing, wind_down
from proxy.tasks import TaskSet
from proxy.upstream.guard import Guard
from proxy.upstream.pool import Pool
from proxy.upstream.resolver import Resolver
from proxy.workers.board import Board
from proxy.workers.fleet_answers import FleetAnswers
from proxy.workers.flights import SharedFlights
from proxy.workers.listening import WorkerSockets
from proxy.workers.place import WorkerPlace
from proxy.workers.share import share_of
from proxy.workers.shared import SharedParts

log = structlog.get_logger(__name__)

_CLOSE_S = 5.0  # what Kubernetes' grace leaves after the drain, unless it was told otherwise


class Skinflint:
    """One running proxy."""

    def __init__(
        self,
        settings: Settings,
        place: WorkerPlace | None = None,
        shared: SharedParts | None = None,
        identity: Identity | None = None,
        board: Board | None = None,
    ) -> None:
        """`place` and all after it come from the supervisor, if this is one worker of several.

        Raises CaError, SettingsError or OSError.
        """
        self._place = place
        self._shared = shared
        self._settings = settings = share_of(settings, place)
        self._data_dir = settings.data_dir
        self._tasks = TaskSet()
        self._started_at = time.time()
        self._state: Literal["starting", "running", "stopping"] = "starting"
        self._tide = Tide()
        self._retired = RetiredPools(time.monotonic)
        self._metrics = Metrics(settings.limits.label_values, settings.attribution.call_metric_labels)
        self._refusals = Refusals(self._metrics, time.monotonic)
        self._counters = Counters()
        self._semantic = SemanticState()
        self._metrics.registry.register(self._semantic.counts)
        self._worker = place.index if place is not None else None
        self._calls = CallLog(worker=self._worker)
        self._calls.configure(settings.log)
        self._peers = SharedFlights(place, shared.claims) if place is not None and shared is not None else None
        self._identity = identity or identity_of(settings)
        self._cache = CacheParts(settings, shared, self._tasks, self._identity.fingerprint_key, self._rebuild)
        self._semantic.shared = self._cache.vectors(settings)
        self._ledger = self._open_ledger(settings)
        self._access = AccessParts(os.environ)
        self._pool = self._make_pool(settings)
        self._outlet = Outlet(self._pool)
        self._snapshot = self._build(settings, Registry.from_settings(settings), self._outlet)
        authority = self._identity.authority
        self._provided = None if authority.is_ours else ProvidedCa(authority)
        self._bridge = Bridge(
            lambda: self._snapshot,
            metrics=self._metrics,
            leaves=LeafIssuer(self._identity.authority, clock=time.time),
            pins=PinMemory(settings.passthrough.learn_ttl_s, time.monotonic),
            refusals=self._refusals,
        )
        self._edge = Edge(self._bridge, settings.listeners, first_client=self._load_prices)
        views = Views(
            snapshot=lambda: self._snapshot,
            state=lambda: self._state,
            bridge=self._bridge,
            store=self._cache.store,
            invalidations=self._cache.invalidations,
            stock=self._cache.stock(self._identity.token),
            counters=self._counters,
            ledger=self._ledger,
            started_at=self._started_at,
            flights=self._cache.flights,
        )
        self._fleet: FleetAnswers | None = None
        if place is not None and board is not None:
            self._fleet = FleetAnswers(
                place, board, views=views, registry=self._metrics.registry, counters=self._counters
            )
        self._admin = AdminServer(self._metrics.registry, views, self._fleet)
        self._metrics.registry.register(LiveGauges([*views.gauges(), *self._access.gauges()]))
        if self._cache.flights is not None:
            self._metrics.registry.register(ShownFlights(self._cache.flights))
        self._metrics.registry.register(Condition(views, lambda: self._identity.authority))
        self.reloads = Reloads()
        if place is None:  # the supervisor counts for its workers
            self._metrics.registry.register(self.reloads)

    # -- life

    async def start(self, sockets: WorkerSockets | None = None) -> Runtime:
        """Open everything, listeners last, or take sockets that are bound already. Raises ListenError or OSError."""
        self._pool.start()
        if self._ledger is not None:
            self._ledger.start()
        if self._fleet is not None:
            await self._fleet.start()
        try:
            admin = await self._admin.start(self._settings.admin.address, sockets.admin if sockets else ())
        except OSError as failure:
            raise ListenError(self._settings.admin.address, "admin", failure) from failure
        await self._cache.start()
        await self._access.start()
        if self._peers is not None:
            await self._peers.start()
        bound = await self._edge.start(ReadyListeners(sockets.listeners, sockets.handing) if sockets else None)
        if sockets is not None:
            sockets.handing.start(self._edge.take)
        self._state = "running"
        listeners = tuple(BoundListener(mode, address) for mode, address in bound)
        return runtime_of(self._settings, self._identity, listeners, admin, self._started_at)

    async def stop(self, hurry: asyncio.Event) -> None:
        """Stop accepting, let what is under way end within the drain limit, settle, flush, close. `hurry`, now or
        later, cuts off what is under way."""
        self._state = "stopping"
        shared: list[Sharing] = [each for each in (self._peers, self._cache.flights) if each is not None]
        await wind_down(self._edge, self._snapshot.settings.drain, shared, hurry)
        closing = Closing(_CLOSE_S)
        await self._tasks.wait(closing.left_s(1.0))
        await self._tasks.cancel()
        await self._access.stop()
        await self._cache.stop(closing.left_s(2.0))
        await self._retired.close()
        await self._pool.close()
        self._calls.flush()
        if self._ledger is not None:
            await self._ledger.close(closing.left_s(_CLOSE_S))
        if self._fleet is not None:
            await self._fleet.stop()
        await self._admin.stop()

    async def abandon(self) -> None:
        """Close what a failed start has opened."""
        if self._peers is not None:
            await self._peers.stop(0.0)
        await self._pool.close()
        await self._access.stop()
        await self._cache.stop(1.0)
        if self._ledger is not None:
            await self._ledger.close(1.0)
        if self._fleet is not None:
            await self._fleet.stop()
        await self._admin.stop()

    def apply(self, settings: Settings) -> None:
        """Swap the snapshot. Raises SettingsError when the new settings cannot be used."""
        settings = share_of(settings, self._place)
        registry = self._identity.registry_for(settings)
        outlet = self._outlet
        before = self._snapshot.settings
        if (settings.upstream, settings.destinations) != (before.upstream, before.destinations):
            outlet = Outlet(self._make_pool(settings))
            outlet.pool.start()
        snapshot = self._build(settings, registry, outlet)
        if outlet is not self._outlet:
            self._retired.add(self._outlet)
            self._pool, self._outlet = outlet.pool, outlet
        self._snapshot = snapshot
        self._cache.apply(settings)
        self._calls.configure(settings.log)
        setup_logs(settings.log, worker=self._worker)

    async def tend(self) -> None:
        """Called about once a second: close pools of earlier snapshots that nothing uses any more, give memory back."""
        self._tide.at(len(self._bridge.connections))
        self._edge.poll()
        if self._provided is not None and (authority := self._provided.poll()) is not None:
            self._take(authority)
        if (tokens := await self._access.tend()) is not None:
            self._edge.keep_only(tokens)
        if await self._retired.close_unused():
            trim()
        await self._cache.tend()

    def _take(self, authority: CertificateAuthority) -> None:
        """From now on it signs; one of several workers tells clients of it."""
        self._bridge.leaves.take(authority)
        self._identity = replace(self._identity, authority=authority)
        if self._worker:
            return
        try:
            self._identity = self._identity.with_authority(authority, self._settings, os.environ)
        except OSError as failure:
            log.error("trust_files_failed", reason=failure.strerror)

    # -- parts

    def _rebuild(self) -> None:
        """The fleet's key is another one than that of this installation."""
        current = self._snapshot
        self._snapshot = self._build(current.settings, current.registry, self._outlet)

    def _build(self, settings: Settings, registry: Registry, outlet: Outlet) -> Snapshot:
        book = self._prices = PriceBook(load_prices(settings.cost.prices))
        parts = Parts(
            registry=registry,
            pricing=ExchangePricing(book),
            settled=self._settled,
            store=self._cache.store,
            rules=self._cache.rules,
            tasks=self._tasks,
            fingerprint_key=self._cache.key,
            extra=extra_stages(),
            peers=self._all_peers(),
            semantic=self._semantic,
        )
        stages = chain(settings, parts)
        passing = [stage for stage in stages if isinstance(stage, Meter | Identify)]
        return Snapshot(
            settings=settings,
            registry=registry,
            handler=compose(stages, outlet, self._stage_failed),
            passing=compose(passing, _switched, self._stage_failed),
            pool=outlet.pool,
            repeats=repeats(stages, settings, parts),
            reach=Reach(settings.destinations, lambda host, port: registry.match(host, port) is not None),
            gate=self._access.gate(settings.access),
        )

    def _all_peers(self) -> Peers | None:
        """Whose calls may be joined: those of this machine's workers, then those of other replicas."""
        kinds: list[Peers] = [peers for peers in (self._peers, self._cache.flights) if peers is not None]
        return PeersInTurn(*kinds) if len(kinds) > 1 else next(iter(kinds), None)

    def _make_pool(self, settings: Settings) -> Pool:
        goings = [going(listener) for listener in settings.listeners]
        origins = [(where.host, where.port) for where in goings if where is not None and where.fixed]
        guard = Guard(settings.destinations, trusted=origins, on_refused=self._address_refused)
        ignores_hosts_file = any(listener.mode == "hosts" for listener in settings.listeners)
        resolver = Resolver(settings.upstream.resolve, ignore_hosts_file=ignores_hosts_file, guard=guard)
        return Pool(settings.upstream, resolver, guard)

    def _address_refused(self, host: str, port: int) -> None:
        self._refusals.count("address", host=host, port=port)

    def _load_prices(self) -> None:
        """The price list takes 0.2 s and 10 MB: not before there is a client, and beside the first call."""

        def load() -> None:
            self._prices.warm()
            settle_memory(collect=False)

        threading.Thread(target=load, name="prices", daemon=True).start()

    def _open_ledger(self, settings: Settings) -> LedgerWriter | None:
        if not settings.ledger.enabled:
            return None
        return LedgerWriter(
            _ledger_url(settings),
            settings.ledger,
            spill_path=self._data_dir / "ledger-spill.jsonl",
            keeps_house=not self._worker,
        )

    def _settled(self, record: CallRecord) -> None:
        self._metrics.calls.observe(record)
        self._counters.count(record)
        self._calls.write(record)
        if self._ledger is not None:
            self._ledger.record(record)

    def _stage_failed(self, stage: str, exchange: Exchange, failure: Exception) -> None:
        self._metrics.stage_failures.labels(stage).inc()
        log.error("stage_failed", stage=stage, exchange=exchange.id, error=type(failure).__name__, exc_info=failure)


def try_out(settings: Settings) -> None:
    """What each worker will read, once: a mistake in it should not have to be told by all. Raises SettingsError."""
    AccessParts(os.environ).gate(settings.access)
    for listener in settings.listeners:
        if listener.tls is not None:
            Front(listener.tls)


def identity_of(settings: Settings) -> Identity:
    """The identity of the proxy in the settings' data directory. Raises CaError, SettingsError or OSError."""
    return Identity.of(settings, os.environ)


def runtime_of(
    settings: Settings, identity: Identity, listeners: tuple[BoundListener, ...], admin: str, started_at: float
) -> Runtime:
    """How a proxy that this process runs is found."""
    return Runtime(
        pid=os.getpid(),
        version=version(),
        started_at=started_at,
        listeners=listeners,
        admin=admin,
        ca=identity.trust.ca,
        bundle=identity.trust.bundle,
        truststore=identity.trust.truststore,
        data_dir=settings.data_dir,
        ledger_url=_ledger_url(settings) if settings.ledger.enabled else None,
    )


async def _switched(exchange: Exchange) -> Response:
    """The end of the chain for what is relayed."""
    return Response(101, [], b"")


def _ledger_url(settings: Settings) -> str:
    return settings.ledger.url or f"sqlite:///{settings.data_dir / 'ledger.sqlite'}"
