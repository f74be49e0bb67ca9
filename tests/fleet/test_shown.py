"""What operators see of flights across replicas."""

import pytest
import structlog
from prometheus_client import CollectorRegistry

from proxy.fleet.shown import FlightsNow, LostLeaders, ShownFlights
from tests.support.waiting import until


class Flights:
    """As the test says."""

    def __init__(self) -> None:
        self.now = FlightsNow(led=3, replayed=2, following=1)
        self.joined = 7
        self.lost = LostLeaders(pause_s=0.05)


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


async def test_leaders_that_are_gone_together_are_one_line(flights: Flights) -> None:
    with structlog.testing.capture_logs() as logs:
        for _ in range(500):
            flights.lost.add()
        await until(lambda: bool(logs), "it is said")
        flights.lost.add()
        await until(lambda: len(logs) > 1, "the next is said")
    assert [(line["event"], line["flights"]) for line in logs] == [
        ("fleet_leader_gone", 500),
        ("fleet_leader_gone", 1),
    ]
    assert flights.lost.count == 501


async def test_what_was_not_said_is_said_at_the_end_and_nothing_else(flights: Flights) -> None:
    with structlog.testing.capture_logs() as logs:
        flights.lost.say()
        flights.lost.add()
        flights.lost.say()
        flights.lost.say()
    assert [line["flights"] for line in logs] == [1]
