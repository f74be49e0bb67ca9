"""The counts of what was asked for: never too small, and halved in time."""

import hashlib
from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from proxy.stores.popularity import Popularity


def key(number: int) -> bytes:
    return hashlib.sha256(b"%d" % number).digest()


@given(st.lists(st.integers(0, 50), max_size=300))
def test_counts_are_never_too_small(asked: list[int]) -> None:
    popularity = Popularity()
    for number in asked:
        popularity.add(key(number))
    for number, times in Counter(asked).items():
        assert popularity.count(key(number)) >= times


def test_what_was_never_asked_for_counts_nothing() -> None:
    popularity = Popularity()
    for number in range(1000):
        popularity.add(key(number))
    assert sum(popularity.count(key(number)) > 0 for number in range(1000, 2000)) <= 1


def test_counts_are_halved_after_a_period() -> None:
    popularity = Popularity(period=100)
    popularity.add(key(1), 99)
    assert popularity.count(key(1)) == 99
    popularity.add(key(2))
    assert popularity.count(key(1)) == 49
    popularity.add(key(1), 50)
    assert popularity.count(key(1)) == 49, "what was counted before counts half towards the next halving"


def test_counts_end_at_what_a_byte_holds() -> None:
    popularity = Popularity()
    popularity.add(key(1), 200)
    popularity.add(key(1), 200)
    assert popularity.count(key(1)) == 255
