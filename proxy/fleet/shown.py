"""What operators see of flights across replicas: how many there are now, how many were, and leaders that were gone."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Protocol

from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from proxy.exchange.lost_leaders import LostLeaders


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
    def lost(self) -> LostLeaders:
        """Those that did not."""
        ...


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
