"""When a leader counts as gone, by what was seen and heard of it."""

from proxy.fleet.leading import PATIENCE_S
from proxy.fleet.sight import Sight
from proxy.fleet.trail import Sighting

LEASE_S = 4.0
HELD, GIVEN_UP, AWAY = Sighting(is_held=True), Sighting(is_held=False), Sighting(is_held=None)


def sight() -> Sight:
    return Sight(LEASE_S, 0.0)


def test_who_holds_the_claim_is_there_although_nothing_is_heard() -> None:
    seen = sight()
    seen.looked(10.0, HELD)
    assert not seen.is_hopeless(10.0)
    assert not seen.is_lost(10.0)


def test_who_holds_the_claim_but_says_nothing_for_long_is_done_without_and_in_the_end_lost() -> None:
    seen = sight()
    seen.looked(13.0, HELD)
    assert seen.is_hopeless(13.0)
    assert not seen.is_lost(13.0)
    assert seen.is_lost(PATIENCE_S + 1)


def test_who_lost_the_claim_and_is_not_heard_is_gone_well_within_a_lease() -> None:
    seen = sight()
    seen.looked(1.0, GIVEN_UP)
    assert not seen.is_hopeless(1.9)
    assert seen.is_hopeless(2.1)
    assert seen.is_lost(2.1)


def test_who_lost_the_claim_but_is_heard_is_there() -> None:
    seen = sight()
    for now in range(1, 20):
        seen.looked(now, GIVEN_UP)
        seen.heard(now)
        assert not seen.is_hopeless(now + 1)
        assert not seen.is_lost(now + 1)


def test_what_the_stream_shows_is_a_sign_of_life() -> None:
    seen = sight()
    seen.looked(3.0, Sighting(is_held=False, messages=[(b"1-0", b"")]))
    assert not seen.is_lost(4.0)


def test_after_an_outage_a_leader_has_time_to_come_back() -> None:
    seen = sight()
    seen.looked(5.0, AWAY)
    seen.looked(6.0, GIVEN_UP)
    assert not seen.is_lost(14.0)
    assert seen.is_lost(15.1)
    seen.heard(15.2)
    assert not seen.is_lost(15.3)


def test_while_redis_is_away_a_choice_is_made_after_a_lease_and_a_stream_given_up_after_patience() -> None:
    seen = sight()
    seen.heard(10.0)
    seen.looked(11.0, AWAY)
    assert not seen.is_hopeless(13.0)
    assert seen.is_hopeless(14.1)
    assert not seen.is_lost(39.0)
    assert seen.is_lost(40.1)


def test_a_missed_message_gives_a_silent_holder_more_time() -> None:
    seen = sight()
    seen.disturbed(12.0)
    seen.looked(13.0, HELD)
    assert not seen.is_hopeless(13.0)


def test_who_refuses_is_gone_at_once() -> None:
    seen = sight()
    seen.refused()
    assert seen.is_hopeless(0.0)
    assert seen.is_lost(0.0)


def test_what_cannot_be_had_any_more_is_not_waited_for() -> None:
    seen = sight()
    seen.torn()
    assert seen.is_hopeless(0.0)
    assert seen.is_lost(0.0)
