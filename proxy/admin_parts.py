"""What operators have: the admin listener, and everything that it shows. With several workers it answers for all."""

from collections.abc import Callable, Iterable

from proxy.admin.condition import Condition, Reloads
from proxy.admin.server import AdminServer
from proxy.admin.views import Views
from proxy.edge.ca import CertificateAuthority
from proxy.edge.master import ListenError
from proxy.fleet.shown import ShownFlights
from proxy.metrics import Gauge, LiveGauges, Metrics
from proxy.workers.board import Board
from proxy.workers.fleet_answers import FleetAnswers
from proxy.workers.listening import WorkerSockets
from proxy.workers.place import WorkerPlace


class AdminParts:
    """See the module. `gauges`: what is shown besides the views' own."""

    def __init__(
        self,
        views: Views,
        metrics: Metrics,
        *,
        authority: Callable[[], CertificateAuthority],
        gauges: Iterable[Gauge],
        place: WorkerPlace | None,
        board: Board | None,
    ) -> None:
        self.reloads = Reloads()
        self._fleet: FleetAnswers | None = None
        if place is not None and board is not None:
            self._fleet = FleetAnswers(place, board, views=views, registry=metrics.registry, counters=views.counters)
        self._server = AdminServer(metrics.registry, views, self._fleet)
        metrics.registry.register(LiveGauges([*views.gauges(), *gauges]))
        if views.flights is not None:
            metrics.registry.register(ShownFlights(views.flights))
        metrics.registry.register(Condition(views, authority))
        if place is None:  # the supervisor counts for its workers
            metrics.registry.register(self.reloads)

    async def start(self, address: str, sockets: WorkerSockets | None) -> str:
        """Listen there, or on sockets that are bound already; returns the address. Raises ListenError or OSError."""
        if self._fleet is not None:
            await self._fleet.start()
        try:
            return await self._server.start(address, sockets.admin if sockets else ())
        except OSError as failure:
            raise ListenError(address, "admin", failure) from failure

    async def stop(self) -> None:
        """Answer no more."""
        if self._fleet is not None:
            await self._fleet.stop()
        await self._server.stop()
