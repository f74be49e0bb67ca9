"""The tier in this process: it stays within its bytes, and forgets what was unused for longest."""

import asyncio
import gc
import random
import tracemalloc
from collections import OrderedDict
from collections.abc import Coroutine

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from proxy.exchange.usage import Usage
from proxy.stores.base import Entry, size_of
from proxy.stores.memory import MemoryStore


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
    """Against a plain ordered dictionary that knows the rules."""

    def __init__(self) -> None:
        super().__init__()
        self.limit = 40_000
        self.store = MemoryStore(self.limit)
        self.model: OrderedDict[bytes, Entry] = OrderedDict()
        self.evicted = 0

    def shrink(self) -> None:
        while sum(size_of(kept, name) for name, kept in self.model.items()) > self.limit:
            self.model.popitem(last=False)
            self.evicted += 1

    @rule(number=st.integers(0, 12), size=st.integers(0, 6000), fields=st.integers(0, 8))
    def put(self, number: int, size: int, fields: int) -> None:
        kept = entry(size, fields=fields)
        finished(self.store.put(key(number), kept))
        self.model.pop(key(number), None)
        if size_of(kept, key(number)) <= self.limit // 8:
            self.model[key(number)] = kept
            self.shrink()

    @rule(number=st.integers(0, 12))
    def get(self, number: int) -> None:
        got = finished(self.store.get(key(number)))
        assert got == self.model.get(key(number))
        if got is not None:
            self.model.move_to_end(key(number))

    @rule(number=st.integers(0, 12))
    def delete(self, number: int) -> None:
        assert finished(self.store.delete(key(number))) == (self.model.pop(key(number), None) is not None)

    @rule(limit=st.integers(0, 60_000))
    def resize(self, limit: int) -> None:
        self.limit = limit
        self.store.resize(limit)
        self.shrink()

    @rule()
    def clear(self) -> None:
        assert finished(self.store.clear()) == len(self.model)
        self.model.clear()

    @invariant()
    def holds_what_the_model_holds_and_no_more_than_it_may(self) -> None:
        stats = self.store.stats()
        assert stats.entries == len(self.model)
        assert stats.used_bytes == sum(size_of(kept, name) for name, kept in self.model.items())
        assert stats.used_bytes <= stats.limit_bytes == self.limit
        assert stats.evicted == self.evicted


TestBounded = Bounded.TestCase


async def test_the_longest_unused_goes_first() -> None:
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
