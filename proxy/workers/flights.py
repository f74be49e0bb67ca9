"""Flights across workers: one upstream call for identical calls, whichever workers their clients came to.

Rules: the worker that claims a call's fingerprint leads; the others follow it over its socket, one connection a worker
and call (their own clients share a flight of their own that is fed by it). A leader that is gone or refuses is replaced
by the first follower that notices; a call is never failed, or kept waiting without a deadline, for the sake of sharing.
"""

import os
from pathlib import Path
from typing import Final

import structlog

from proxy.exchange.flight import Flight
from proxy.exchange.lost_leaders import LostLeaders
from proxy.exchange.model import Response
from proxy.workers.claims import ClaimTable, owner_of, place_of
from proxy.workers.conversation import Patience
from proxy.workers.following import follow
from proxy.workers.leading import FlightServer
from proxy.workers.place import WorkerPlace

log = structlog.get_logger(__name__)

_PATIENCE: Final = Patience()


class SharedFlights:
    """This worker among its peers. Make it in the worker's own process."""

    def __init__(self, place: WorkerPlace, claims: ClaimTable, patience: Patience = _PATIENCE) -> None:
        self._place = place
        self._patience = patience
        self._claims = claims
        self._owner = owner_of(os.getpid(), place.index)
        self._led: dict[bytes, Flight] = {}
        self._lost = LostLeaders("worker_leader_gone")
        self._server = FlightServer(self._socket_of(place.index), self._joinable, patience, os.getuid())

    async def start(self) -> None:
        """Let the others join. Raises OSError."""
        await self._server.start()

    def refuse(self) -> None:
        """Take no followers any more: calls that this worker makes are made again by the peers who ask for them."""
        self._server.refuse()

    async def stop(self, timeout_s: float) -> int:
        """Refuse, let the followers that are there come to an end; returns how many were cut off."""
        left = await self._server.stop(timeout_s)
        self._lost.say()
        return left

    @property
    def followers(self) -> int:
        """Calls of this worker that a peer follows now."""
        return self._server.followers

    async def join(self, flight: Flight) -> Response | None:
        """The answer of the peer that leads this call already; None when it is for this worker to make the call. Raises
        the failure of the peer's call."""
        exchange = flight.exchange
        key = exchange.fingerprint
        assert key is not None
        silent = 0
        for _ in range(self._place.count + 1):
            holder = await self._claimed(key, instead_of=silent)
            if holder == self._owner:
                self._led[key] = flight
                return None
            if not holder:
                return None
            response = await follow(self._socket_of(place_of(holder)), holder, key, exchange, self._patience)
            if response is not None:
                return response
            self._lost.add()
            silent = holder
        return None

    def landed(self, flight: Flight) -> None:
        """Nobody may join this flight any more."""
        key = flight.exchange.fingerprint
        if key is not None and self._led.get(key) is flight:
            del self._led[key]
            self._claims.release(key, self._owner)

    async def _claimed(self, key: bytes, instead_of: int) -> int:
        try:
            return await self._claims.claim(key, self._owner, instead_of)
        except OSError as failure:  # the kernel has no lock left, or the like
            log.warning("claim_failed", reason=str(failure))
            return 0

    def _joinable(self, owner: int, key: bytes) -> Flight | None:
        flight = self._led.get(key) if owner == self._owner else None
        if flight is None or not flight.joinable:
            return None
        return flight if flight.readers <= flight.exchange.settings.collapse.max_followers else None

    def _socket_of(self, index: int) -> Path:
        return self._place.directory / f"flights.{index}"
