"""The tier in this process: it stays within its bytes, and forgets first what is worth least."""

import asyncio
import gc
import random
import sys
import tracemalloc
from collections.abc import Coroutine
from dataclasses import replace

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from proxy.exchange.usage import Usage
from proxy.stores.base import Entry, size_of
from proxy.stores.memory import MemoryStore
from proxy.stores.popularity import Popularity


def entry(size: int, *, fields: int = 2, usage: bool = True) -> Entry:
    rng = random.Random(size * 31 + fields)
    # Everything is made anew, as it is when an answer arrives: nothing is shared with another entry.
    headers = [(b"x-field-%d" % number, rng.randbytes(rng.randrange(60)).hex().encode()) for number in range(fields)]
    used = Usage(
        input_tokens=1000 + size,
        output_tokens=2000 + size,
        model=f"gpt-4o-mini-{size}",
        service_tier="default",
        response_id=f"chatcmpl-{rng.randbytes(12).hex()}",
    )
    return Entry(
        status=200,
        headers=headers,
        body=rng.randbytes(size),
        packed=False,
        stored_at=1.5 + size,
        ttl_s=60.5 + size,
        provider="openai",
        operation="chat",
        model=used.model,
        usage=used if usage else None,
        cost_nanousd=10**6 + size,
    )


def key(number: int) -> bytes:
    return number.to_bytes(32, "big")


def finished[T](coroutine: Coroutine[object, object, T]) -> T:
    """Run what never waits."""
    try:
        coroutine.send(None)
    except StopIteration as ended:
        value: T = ended.value
        return value
    raise AssertionError("it waited")


class Bounded(RuleBasedStateMachine):
    """Against a plain dictionary of what was put last, and the count of what had to go."""

    def __init__(self) -> None:
        super().__init__()
        self.limit = 40_000
        self.store = MemoryStore(self.limit)
        self.put_last: dict[bytes, Entry] = {}
        self.lost = 0  # of them, by eviction

    def held(self) -> dict[bytes, Entry]:
        return {name: kept for name, kept in self.put_last.items() if self.store.peek(name) is kept}

    def settle(self) -> None:
        """What had to go is counted."""
        held = self.held()
        self.lost += len(self.put_last) - len(held)
        self.put_last = held

    @rule(
        number=st.integers(0, 12), size=st.integers(0, 6000), fields=st.integers(0, 8), took=st.sampled_from([0, 900])
    )
    def put(self, number: int, size: int, fields: int, took: int) -> None:
        kept = replace(entry(size, fields=fields), took_ms=took)
        finished(self.store.put(key(number), kept))
        self.put_last.pop(key(number), None)
        if size_of(kept, key(number)) <= self.limit // 8:
            self.put_last[key(number)] = kept
        self.settle()

    @rule(number=st.integers(0, 12))
    def get(self, number: int) -> None:
        assert finished(self.store.get(key(number))) is self.put_last.get(key(number))

    @rule(number=st.integers(0, 12))
    def delete(self, number: int) -> None:
        assert finished(self.store.delete(key(number))) == (self.put_last.pop(key(number), None) is not None)

    @rule(limit=st.integers(0, 60_000))
    def resize(self, limit: int) -> None:
        self.limit = limit
        self.store.resize(limit)
        self.settle()

    @rule()
    def clear(self) -> None:
        assert finished(self.store.clear()) == len(self.put_last)
        self.put_last.clear()

    @invariant()
    def it_holds_what_was_put_and_no_more_than_it_may(self) -> None:
        stats = self.store.stats()
        held = self.held()
        assert held == self.put_last
        assert stats.entries == len(held)
        assert stats.used_bytes == sum(size_of(kept, name) for name, kept in held.items())
        assert stats.used_bytes <= stats.limit_bytes == self.limit
        assert stats.evicted == self.lost


TestBounded = Bounded.TestCase


def asked_for(popularity: Popularity, store: MemoryStore, number: int, kept: Entry) -> bool:
    """A call: is it a hit? If not, its answer is put."""
    if store.peek(key(number)) is not None:
        return True
    popularity.add(key(number))
    finished(store.put(key(number), kept))
    return False


def test_answers_that_are_asked_for_once_do_not_push_out_what_is_asked_for_often() -> None:
    popularity = Popularity()
    store = MemoryStore(size_of(entry(1000), key(0)) * 20, popularity)
    for _ in range(4):
        for number in range(10):
            asked_for(popularity, store, number, entry(1000))
    for number in range(100, 160):
        asked_for(popularity, store, number, entry(1000))
    assert all(store.peek(key(number)) is not None for number in range(10))


def test_what_was_popular_once_goes_in_time() -> None:
    popularity = Popularity()
    store = MemoryStore(size_of(entry(1000), key(0)) * 16, popularity)
    for _ in range(1000):
        asked_for(popularity, store, 0, entry(1000))
    for number in range(6000):
        asked_for(popularity, store, 1 + number, entry(1000))
    assert store.peek(key(0)) is None


def test_the_dear_and_the_small_stay_longer() -> None:
    store = MemoryStore(80_000)
    finished(store.put(key(1), replace(entry(6000), cost_nanousd=10**9)))
    finished(store.put(key(2), entry(100)))
    for number in range(3, 40):
        finished(store.put(key(number), entry(6000)))
    assert store.peek(key(1)) is not None
    assert store.peek(key(2)) is not None


def test_what_comes_back_after_it_had_to_go_is_not_new() -> None:
    popularity = Popularity()
    store = MemoryStore(size_of(entry(1000), key(0)) * 10, popularity)
    finished(store.put(key(0), entry(1000)))
    for _ in range(5):
        store.peek(key(0))
    store.resize(0)
    assert popularity.count(key(0)) == 6


def test_what_is_replaced_again_and_again_takes_no_room_in_the_order() -> None:
    store = MemoryStore(1 << 20)
    gone = entry(100)
    finished(store.put(key(0), gone))
    for _ in range(1000):
        finished(store.put(key(0), entry(100)))
    assert sys.getrefcount(gone) <= 2


async def test_among_equals_the_longest_unused_goes_first() -> None:
    size = size_of(entry(1000), key(0))
    store = MemoryStore(size * 10)
    for number in range(10):
        await store.put(key(number), entry(1000))
    await store.get(key(0))
    await store.put(key(10), entry(1000))
    assert await store.get(key(1)) is None
    assert await store.get(key(0)) is not None
    assert store.stats().evicted == 1


async def test_an_entry_too_large_for_the_bound_pushes_nothing_out_and_forgets_the_older_one() -> None:
    store = MemoryStore(80_000)
    await store.put(key(1), entry(100))
    await store.put(key(2), entry(100))
    await store.put(key(1), entry(50_000))
    assert await store.get(key(1)) is None
    assert await store.get(key(2)) is not None
    assert store.stats().evicted == 0


async def test_without_room_nothing_is_kept() -> None:
    store = MemoryStore(0)
    await store.put(key(1), entry(0))
    assert store.stats().entries == 0


def measured(*, count: int, rng: random.Random) -> tuple[int, int]:
    """(bytes the interpreter took, bytes accounted for) to hold `count` entries of random shapes."""
    store = MemoryStore(1 << 32)

    async def fill() -> None:
        for number in range(count):
            size = rng.choice([0, 100, 500, rng.randrange(4000)])
            await store.put(key(number), entry(size, fields=rng.randrange(25), usage=rng.random() < 0.9))

    gc.collect()
    tracemalloc.start()
    try:
        asyncio.run(fill())
        gc.collect()
        taken = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    return taken, store.stats().used_bytes


def test_what_is_accounted_for_is_what_is_taken() -> None:
    taken, accounted = measured(count=10_000, rng=random.Random(7))
    assert 0.85 < accounted / taken < 1.15
