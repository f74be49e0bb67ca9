"""Composition: settings → stores → snapshot (pool, chain) → edge → admin listener. Read this first.

`Skinflint` is one running proxy; process.py is the process around it. Everything is made here and handed to those who
use it; nothing is global. What exchanges run on is made in snapshots.py, anew for each reload.
"""

import asyncio
import os
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

import structlog

from addons.collapse import Peers, PeersInTurn
from config.schema import Settings
from proxy import version
from proxy.access.parts import AccessParts
from proxy.admin.views import Views
from proxy.admin_parts import AdminParts
from proxy.books import Books
from proxy.cache_parts import CacheParts
from proxy.edge.acceptor import ReadyListeners
from proxy.edge.bridge import Bridge
from proxy.edge.ca import CertificateAuthority
from proxy.edge.front import Front
from proxy.edge.leaf import LeafIssuer
from proxy.edge.master import Edge
from proxy.edge.pins import PinMemory
from proxy.edge.provided_ca import ProvidedCa
from proxy.edge.refusals import Refusals
from proxy.fleet.flights import FleetFlights
from proxy.identity import Identity
from proxy.logs import setup as setup_logs
from proxy.memory import Tide, trim
from proxy.metrics import Metrics
from proxy.runtime import BoundListener, Runtime
from proxy.semantic.state import SemanticState
from proxy.snapshots import Lasting, Snapshots
from proxy.stopping import Closing, wind_down
from proxy.tasks import TaskSet
from proxy.workers.board import Board
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
        self._settings = settings = share_of(settings, place)
        self._worker = place.index if place is not None else None
        self._tasks = TaskSet()
        self._started_at = time.time()
        self._state: Literal["starting", "running", "stopping"] = "starting"
        self._tide = Tide()
        self._identity = identity or identity_of(settings)
        authority = self._identity.authority
        self._provided = None if authority.is_ours else ProvidedCa(authority)
        metrics = Metrics(settings.limits.label_values, settings.attribution.call_metric_labels)
        refusals = Refusals(metrics, time.monotonic)
        self._books = Books(settings, metrics, self._worker)
        self._cache = CacheParts(settings, shared, self._tasks, self._identity.fingerprint_key, self._rebuild)
        self._access = AccessParts(os.environ)
        self._peers = SharedFlights(place, shared.claims) if place is not None and shared is not None else None
        semantic = SemanticState(shared=self._cache.vectors(settings))
        metrics.registry.register(semantic.counts)
        lasting = Lasting(
            cache=self._cache,
            access=self._access,
            books=self._books,
            semantic=semantic,
            tasks=self._tasks,
            peers=_in_turn(self._sharing),
            address_refused=lambda host, port: refusals.count("address", host=host, port=port),
        )
        self._snapshots = Snapshots(lasting, settings)
        self._bridge = Bridge(
            lambda: self._snapshots.current,
            metrics=metrics,
            leaves=LeafIssuer(authority, clock=time.time),
            pins=PinMemory(settings.passthrough.learn_ttl_s, time.monotonic),
            refusals=refusals,
        )
        self._edge = Edge(self._bridge, settings.listeners, first_client=self._snapshots.warm_prices)
        self._admin = AdminParts(
            self._views(),
            metrics,
            authority=lambda: self._identity.authority,
            gauges=self._access.gauges(),
            place=place,
            board=board,
        )
        self.reloads = self._admin.reloads

    @property
    def _sharing(self) -> list[SharedFlights | FleetFlights]:
        """Whose calls may be joined: those of this machine's workers, then those of other replicas."""
        return [flights for flights in (self._peers, self._cache.flights) if flights is not None]

    def _views(self) -> Views:
        return Views(
            snapshot=lambda: self._snapshots.current,
            state=lambda: self._state,
            bridge=self._bridge,
            store=self._cache.store,
            invalidations=self._cache.invalidations,
            stock=self._cache.stock(self._identity.token),
            counters=self._books.counters,
            ledger=self._books.ledger,
            started_at=self._started_at,
            flights=self._cache.flights,
        )

    # -- life

    async def start(self, sockets: WorkerSockets | None = None) -> Runtime:
        """Open everything, listeners last, or take sockets that are bound already. Raises ListenError or OSError."""
        self._snapshots.start()
        self._books.start()
        admin = await self._admin.start(self._settings.admin.address, sockets)
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
        await wind_down(self._edge, self._snapshots.current.settings.drain, self._sharing, hurry)
        closing = Closing(_CLOSE_S)
        await self._tasks.wait(closing.left_s(1.0))
        await self._tasks.cancel()
        await self._access.stop()
        await self._cache.stop(closing.left_s(2.0))
        await self._snapshots.close()
        await self._books.close(closing.left_s(_CLOSE_S))
        await self._admin.stop()

    async def abandon(self) -> None:
        """Close what a failed start has opened."""
        if self._peers is not None:
            await self._peers.stop(0.0)
        await self._snapshots.close()
        await self._access.stop()
        await self._cache.stop(1.0)
        await self._books.close(1.0)
        await self._admin.stop()

    def apply(self, settings: Settings) -> None:
        """A reload: all or nothing of it. Raises SettingsError when the new settings cannot be used."""
        settings = share_of(settings, self._place)
        self._snapshots.apply(settings, self._identity.registry_for(settings))
        self._cache.apply(settings)
        self._books.configure(settings.log)
        setup_logs(settings.log, worker=self._worker)

    async def tend(self) -> None:
        """Called about once a second: look at files that may have changed, and give back what nothing uses any more."""
        self._tide.at(len(self._bridge.connections))
        self._edge.poll()
        if self._provided is not None and (authority := self._provided.poll()) is not None:
            self._take(authority)
        if (tokens := await self._access.tend()) is not None:
            self._edge.keep_only(tokens)
        if await self._snapshots.close_unused():
            trim()
        await self._cache.tend()

    def _rebuild(self) -> None:
        """The fleet's key is another one than that of this installation."""
        self._snapshots.rebuild()

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
    )


def _in_turn(peers: Sequence[Peers]) -> Peers | None:
    return PeersInTurn(*peers) if len(peers) > 1 else next(iter(peers), None)
