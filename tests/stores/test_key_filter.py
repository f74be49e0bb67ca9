"""What is surely not there is told from memory, and nothing that is there is ever denied."""

import random

from hypothesis import given
from hypothesis import strategies as st

from proxy.stores.disk.key_filter import KeyFilter


@given(st.lists(st.binary(min_size=1, max_size=40)))
def test_what_was_added_is_never_denied(keys: list[bytes]) -> None:
    known = KeyFilter()
    for key in keys:
        known.add(key)
    assert all(known.may_hold(key) for key in keys)


def test_an_empty_one_denies_everything() -> None:
    known, rng = KeyFilter(), random.Random(1)
    assert not any(known.may_hold(rng.randbytes(32)) for _ in range(1000))


def test_few_others_pass_and_few_more_when_it_is_full() -> None:
    known, rng = KeyFilter(100_000), random.Random(2)
    half = known.capacity // 2
    assert half >= 50_000
    for _ in range(half):
        known.add(rng.randbytes(32))
    assert not known.is_full
    assert sum(known.may_hold(rng.randbytes(32)) for _ in range(20_000)) < 20_000 * 0.01
    for _ in range(half):
        known.add(rng.randbytes(32))
    assert known.is_full
    assert sum(known.may_hold(rng.randbytes(32)) for _ in range(20_000)) < 20_000 * 0.05
