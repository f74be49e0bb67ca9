"""collapse: identical calls in flight become one upstream call (see proxy/exchange/flight.py for how they share it).

The first exchange leads: its row in the ledger carries the cost. The others follow: they pay nothing.
"""

from config.schema import Settings
from proxy.exchange.cache_control import parse
from proxy.exchange.chain import Handler
from proxy.exchange.flight import Flight
from proxy.exchange.model import Exchange, Response
from proxy.exchange.record import Outcome
from proxy.tasks import TaskSet


class Collapse:
    """The stage."""

    name = "collapse"

    def __init__(self, settings: Settings, tasks: TaskSet) -> None:
        self._keep_bytes = settings.limits.max_answer_bytes
        self._lag_bytes = settings.collapse.max_lag_bytes
        self._max_followers = settings.collapse.max_followers
        self._tasks = tasks
        self._flights: dict[bytes, Flight] = {}

    async def handle(self, exchange: Exchange, call_next: Handler) -> Response:
        key = exchange.fingerprint
        if key is None or not exchange.collapses or not exchange.answers_again:
            return await call_next(exchange)
        directives = parse(exchange.request.headers)
        if directives.no_store or directives.no_cache:
            return await call_next(exchange)  # this client wants an answer of its own
        flight = self._flights.get(key)
        if flight is not None and flight.joinable and flight.readers <= self._max_followers:
            return await self._follow(exchange, flight)
        flight = Flight(exchange, keep_bytes=self._keep_bytes, lag_bytes=self._lag_bytes)
        self._flights[key] = flight
        flight.start(self._tasks, call_next, lambda: self._forget(key, flight))
        return await flight.join()

    async def _follow(self, exchange: Exchange, flight: Flight) -> Response:
        exchange.outcome = Outcome.COLLAPSED
        exchange.cache_status = "fwd=uri-miss; collapsed"
        exchange.watchers.clear()
        try:
            return await flight.join()
        finally:
            exchange.call = flight.call

    def _forget(self, key: bytes, flight: Flight) -> None:
        if self._flights.get(key) is flight:
            del self._flights[key]

    def in_flight(self) -> int:
        """Shared calls under way."""
        return len(self._flights)
