"""Leaders that are gone: said once for many."""

import pytest
import structlog

from proxy.exchange.lost_leaders import LostLeaders
from tests.support.waiting import until


@pytest.fixture
def lost() -> LostLeaders:
    return LostLeaders("leader_gone", pause_s=0.05)


async def test_leaders_that_are_gone_together_are_one_line(lost: LostLeaders) -> None:
    with structlog.testing.capture_logs() as logs:
        for _ in range(500):
            lost.add()
        await until(lambda: bool(logs), "it is said")
        lost.add()
        await until(lambda: len(logs) > 1, "the next is said")
    assert [(line["event"], line["flights"]) for line in logs] == [("leader_gone", 500), ("leader_gone", 1)]
    assert lost.count == 501


async def test_what_was_not_said_is_said_at_the_end_and_nothing_else(lost: LostLeaders) -> None:
    with structlog.testing.capture_logs() as logs:
        lost.say()
        lost.add()
        lost.say()
        lost.say()
    assert [line["flights"] for line in logs] == [1]
