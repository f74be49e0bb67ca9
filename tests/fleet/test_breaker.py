"""The breaker, with a clock of the test's own."""

from proxy.fleet.breaker import Breaker
from tests.support.clock import Clock


def closed(clock: Clock) -> Breaker:
    made = Breaker(clock, lambda: 1.0)
    made.probe_succeeded()
    made.succeeded()
    return made


def test_it_is_open_until_a_probe_has_succeeded_and_the_first_is_due_at_once() -> None:
    breaker = Breaker(Clock(), lambda: 1.0)
    assert breaker.is_open
    assert breaker.probe_in_s() == 0
    breaker.probe_succeeded()
    assert not breaker.is_open


def test_failures_in_a_row_open_it() -> None:
    breaker = closed(Clock())
    assert not breaker.failed()
    assert not breaker.failed()
    breaker.succeeded()
    assert not breaker.failed()
    assert not breaker.failed()
    assert not breaker.is_open
    assert breaker.failed()
    assert breaker.is_open


def test_one_failure_opens_it_while_it_is_on_trial() -> None:
    breaker = Breaker(Clock(), lambda: 1.0)
    breaker.probe_succeeded()
    assert breaker.failed()
    assert breaker.is_open


def test_what_leaves_no_doubt_opens_it_at_once_and_is_told_once() -> None:
    breaker = closed(Clock())
    assert breaker.broke()
    assert not breaker.broke()


def test_pauses_double_until_a_call_has_succeeded() -> None:
    clock = Clock()
    breaker = closed(clock)
    pauses = []
    for _ in range(8):
        breaker.broke()
        pauses.append(round(breaker.probe_in_s(), 3))
        clock.now += breaker.probe_in_s()
        assert breaker.probe_in_s() == 0
        breaker.probe_succeeded()
    assert pauses == [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0]
    breaker.succeeded()
    breaker.broke()
    assert round(breaker.probe_in_s(), 3) == 0.1


def test_a_failed_probe_makes_the_pause_longer() -> None:
    breaker = closed(Clock())
    breaker.broke()
    breaker.probe_failed()
    assert round(breaker.probe_in_s(), 3) == 0.2
    assert breaker.is_open


def test_a_late_success_does_not_close_an_open_one() -> None:
    breaker = closed(Clock())
    breaker.broke()
    breaker.succeeded()
    assert breaker.is_open


def test_chance_shortens_a_pause_by_half_at_most() -> None:
    clock = Clock()
    breaker = Breaker(clock, lambda: 0.0)
    breaker.probe_failed()
    assert round(breaker.probe_in_s(), 3) == 0.05


def test_it_says_when_a_success_would_change_something() -> None:
    breaker = closed(Clock())
    assert not breaker.is_strained
    breaker.failed()
    assert breaker.is_strained
    breaker.succeeded()
    assert not breaker.is_strained
