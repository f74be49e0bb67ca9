"""What outer tiers are given: everything small, and of what is large what is worth it."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.stores.admission import SMALL_BYTES, Admission, share_of_ttl
from proxy.stores.base import Entry
from proxy.stores.memory import MemoryStore

KIB = 1024
_BODY = bytes(8_388_608)


def answer(size: int, cost_nanousd: int | None = None, took_ms: int = 0) -> Entry:
    plain = Entry(200, [], _BODY[:size], False, 0.0, 60.0, "openai", "chat", "gpt-4o-mini")
    return replace(plain, cost_nanousd=cost_nanousd, took_ms=took_ms)


@pytest.mark.parametrize(
    ("size", "cost_nanousd", "took_ms", "asked", "share"),
    [
        (4 * KIB, None, 0, 1, 1.0),  # an ordinary answer of a test: free, and at once
        (64 * KIB, None, 0, 0, 1.0),
        (96 * KIB, None, 5, 1, 1.0),
        (2048 * KIB, None, 5, 1, 0.0),  # a long list of models
        (2048 * KIB, None, 5, 2, 0.2),
        (2048 * KIB, None, 5, 100, 1.0),
        (1024 * KIB, 40_000_000, 9_000, 1, 1.0),  # a picture
        (200 * KIB, None, 0, 1, 0.5),
        (8192 * KIB, 100_000, 4_000, 1, 0.2685546875),
    ],
)
def test_how_long_an_answer_is_kept(
    size: int, cost_nanousd: int | None, took_ms: int, asked: int, share: float
) -> None:
    assert share_of_ttl(answer(size, cost_nanousd, took_ms), asked) == share


sizes = st.integers(0, len(_BODY)) | st.integers(SMALL_BYTES - 2, SMALL_BYTES + 2)
costs = st.none() | st.integers(0, 10**9)
times = st.integers(0, 600_000)
counts = st.integers(0, 255)
more = st.integers(0, 10**7)


@given(sizes, costs, times, counts, more, more, more, more)
def test_dearer_slower_smaller_or_more_often_asked_is_never_kept_for_less_long(
    size: int, cost: int | None, took: int, asked: int, dearer: int, slower: int, smaller: int, more_often: int
) -> None:
    share = share_of_ttl(answer(size, cost, took), asked)
    assert 0.0 <= share <= 1.0
    assert share <= share_of_ttl(answer(size, (cost or 0) + dearer, took), asked)
    assert share <= share_of_ttl(answer(size, cost, took + slower), asked)
    assert share <= share_of_ttl(answer(max(0, size - smaller), cost, took), asked)
    assert share <= share_of_ttl(answer(size, cost, took), asked + more_often)


def test_what_is_sensitive_goes_only_where_it_is_encrypted() -> None:
    plain, sealed = MemoryStore(0), MemoryStore(0)
    admission = Admission([sealed])
    secret = replace(answer(100), sensitive=True)
    assert not admission.admits(plain, secret)
    assert admission.admits(sealed, secret)
    assert admission.admits(plain, answer(100))
