"""collapse: identical calls in flight become one upstream call (see proxy/exchange/flight.py for how they share it).

The first exchange leads: its row in the ledger carries the cost. The others follow: they pay nothing. Where there are
several workers or replicas, the flight of one may follow that of another, and all exchanges on it are followers.
"""

import functools
from collections.abc import Awaitable
from typing import Protocol

from config.schema import Settings
from proxy.exchange.chain import Handler
from proxy.exchange.errors import UpstreamError
from proxy.exchange.flight import Flight
from proxy.exchange.model import Exchange, Response
from proxy.exchange.record import Outcome
from proxy.tasks import TaskSet


class Peers(Protocol):
    """The other workers of this machine, or the other replicas."""

    async def join(self, flight: Flight) -> Response | None:
        """The answer of the peer that makes this call already; None: this process makes it, and others may join it from
        now on. Raises the failure of the peer's call."""
        ...

    def landed(self, flight: Flight) -> None:
        """Nobody may join this flight any more."""
        ...


class PeersInTurn:
    """Several kinds, the nearest first: who leads among those asks the next."""

    def __init__(self, *peers: Peers) -> None:
        self._peers = peers

    async def join(self, flight: Flight) -> Response | None:
        """See Peers."""
        for peers in self._peers:
            if (response := await peers.join(flight)) is not None:
                return response
        return None

    def landed(self, flight: Flight) -> None:
        """See Peers."""
        for peers in reversed(self._peers):
            peers.landed(flight)


class Collapse:
    """The stage."""

    name = "collapse"

    def __init__(
        self,
        settings: Settings,
        tasks: TaskSet,
        peers: Peers | None = None,
    ) -> None:
        self._keep_bytes = settings.limits.max_answer_bytes
        self._lag_bytes = settings.collapse.max_lag_bytes
        self._max_followers = settings.collapse.max_followers
        self._tasks = tasks
        self._peers = peers
        self._flights: dict[bytes, Flight] = {}

    def concerns(self, exchange: Exchange) -> bool:
        """See proxy.exchange.chain.Choosy."""
        return exchange.collapses and exchange.answers_again and exchange.fingerprint is not None

    def handle(self, exchange: Exchange, call_next: Handler) -> Awaitable[Response]:
        key = exchange.fingerprint
        if key is None or not self.concerns(exchange):
            return call_next(exchange)
        if exchange.directives.no_store or exchange.directives.no_cache:
            return call_next(exchange)  # this client wants an answer of its own
        flight = self._flights.get(key)
        if flight is not None and self._may_join(exchange, flight):
            return self._follow(exchange, flight)
        flight = Flight(exchange, keep_bytes=self._keep_bytes, lag_bytes=self._lag_bytes)
        self._flights[key] = flight
        handler = call_next if self._peers is None else self._among(self._peers, flight, call_next)
        flight.start(self._tasks, handler, functools.partial(self._forget, key, flight))
        return flight.join()

    def _may_join(self, exchange: Exchange, flight: Flight) -> bool:
        """A call that came after an invalidation gets no answer that was under way before it."""
        return flight.joinable and flight.readers <= self._max_followers and flight.exchange.epoch >= exchange.epoch

    async def _follow(self, exchange: Exchange, flight: Flight) -> Response:
        _follows(exchange)
        try:
            return await flight.join()
        finally:
            exchange.call = flight.call
            if flight.exchange.outcome is Outcome.HIT:
                _hits_too(exchange, flight.exchange)

    def _among(self, peers: Peers, flight: Flight, call_next: Handler) -> Handler:
        """What makes the call: the peer that does so already, or the rest of the chain."""

        async def handler(exchange: Exchange) -> Response:
            if (response := await peers.join(flight)) is not None:
                _follows(exchange)
                return response
            if not flight.is_wanted:
                raise UpstreamError("connection_terminated", "nobody waits for this answer any more", sent=False)
            return await call_next(exchange)

        return handler

    def _forget(self, key: bytes, flight: Flight) -> None:
        if self._flights.get(key) is flight:
            del self._flights[key]
        if self._peers is not None:
            self._peers.landed(flight)

    def in_flight(self) -> int:
        """Shared calls under way."""
        return len(self._flights)


def _follows(exchange: Exchange) -> None:
    exchange.outcome = Outcome.COLLAPSED
    exchange.cache_status = "fwd=uri-miss; collapsed"
    exchange.watchers.clear()


def _hits_too(exchange: Exchange, leader: Exchange) -> None:
    """The flight was answered from the cache after all (see addons/cache_again.py)."""
    exchange.outcome = Outcome.HIT
    exchange.cache_status, exchange.age_s = leader.cache_status, leader.age_s
    exchange.stored_usage, exchange.stored_cost_nanousd = leader.stored_usage, leader.stored_cost_nanousd
