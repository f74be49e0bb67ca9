"""Several different answers of one sampled call."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from addons.buckets import bucket_key, bucket_of


@given(st.binary(min_size=32, max_size=32))
def test_each_place_has_a_fingerprint_of_its_own(fingerprint: bytes) -> None:
    keys = [bucket_key(fingerprint, number) for number in range(64)]
    assert keys[0] == fingerprint
    assert len(set(keys)) == 64
    assert {len(key) for key in keys} == {32}
    assert keys == [bucket_key(fingerprint, number) for number in range(64)]


@given(st.text(min_size=1, max_size=64), st.integers(1, 64))
def test_a_seed_always_chooses_the_same_place(seed: str, count: int) -> None:
    def never(count: int) -> int:
        raise AssertionError

    assert 0 <= bucket_of(seed, count, never) < count
    assert bucket_of(seed, count, never) == bucket_of(seed, count, never)


def test_seeds_are_spread() -> None:
    places = Counter(bucket_of(str(number), 4, lambda count: 0) for number in range(1_000))
    assert set(places) == {0, 1, 2, 3}
    assert min(places.values()) > 150


def test_without_a_seed_it_is_chance() -> None:
    assert bucket_of("", 8, lambda count: count - 1) == 7
