"""What operators see of flights across replicas."""

import pytest
from prometheus_client import CollectorRegistry

from proxy.exchange.lost_leaders import LostLeaders
from proxy.fleet.shown import FlightsNow, ShownFlights


class Flights:
    """As the test says."""

    def __init__(self) -> None:
        self.now = FlightsNow(led=3, replayed=2, following=1)
        self.joined = 7
        self.lost = LostLeaders("fleet_leader_gone")


@pytest.fixture
def flights() -> Flights:
    return Flights()


async def test_they_are_metrics(flights: Flights) -> None:
    flights.lost.add()
    registry = CollectorRegistry()
    registry.register(ShownFlights(flights))
    roles = {
        role: registry.get_sample_value("skinflint_fleet_flights", {"role": role}) for role in ("led", "following")
    }
    assert roles == {"led": 3, "following": 1}
    assert registry.get_sample_value("skinflint_fleet_flights", {"role": "replayed"}) == 2
    assert registry.get_sample_value("skinflint_fleet_joined_total") == 7
    assert registry.get_sample_value("skinflint_fleet_leaders_gone_total") == 1
    flights.lost.say()
