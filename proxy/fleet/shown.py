"""What operators see of flights across replicas: how many there are now, how many were, and leaders that were gone.

Rules: a replica that dies takes many flights with it at once, which is one piece of news: lines of the log come once a
second at most, each with what was counted since the last.
"""

import asyncio
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Final, Protocol

import structlog
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

log = structlog.get_logger(__name__)

_PAUSE_S: Final = 1.0


@dataclass(frozen=True, slots=True)
class FlightsNow:
    """Of one replica. `led`: claimed, so that others may follow; `replayed`: others do; `following`: others lead."""

    led: int
    replayed: int
    following: int


class Flights(Protocol):
    """What is looked at."""

    @property
    def now(self) -> FlightsNow:
        """What there is."""
        ...

    @property
    def joined(self) -> int:
        """Flights of others that gave an answer, so far."""
        ...

    @property
    def lost(self) -> "LostLeaders":
        """Those that did not."""
        ...


class LostLeaders:
    """Counts flights that could not be followed, because whoever led them was gone or refused."""

    def __init__(self, pause_s: float = _PAUSE_S) -> None:
        self._pause_s = pause_s
        self._unsaid = 0
        self._timer: asyncio.TimerHandle | None = None
        self.count = 0

    def add(self) -> None:
        """One more. It is said when it is known whether it is the only one."""
        self.count += 1
        self._unsaid += 1
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(self._pause_s, self.say)

    def say(self) -> None:
        """Say what has not been said yet."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._unsaid:
            log.info("fleet_leader_gone", flights=self._unsaid)
            self._unsaid = 0


class ShownFlights(Collector):
    """The metrics."""

    def __init__(self, flights: Flights) -> None:
        self._flights = flights

    def collect(self) -> Iterator[Metric]:
        now = GaugeMetricFamily(
            "skinflint_fleet_flights", "Calls under way that replicas share or may share.", labels=("role",)
        )
        for role, count in asdict(self._flights.now).items():
            now.add_metric((role,), count)
        yield now
        yield CounterMetricFamily(
            "skinflint_fleet_joined", "Calls of other replicas that were joined.", self._flights.joined
        )
        yield CounterMetricFamily(
            "skinflint_fleet_leaders_gone",
            "Calls of other replicas that could not be joined.",
            self._flights.lost.count,
        )
