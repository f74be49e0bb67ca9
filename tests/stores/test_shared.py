"""The tier that workers share: bounded, never wrong, and usable whatever happens to one of them."""

import contextlib
import random
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from proxy.stores.arena import HEAD, TAIL
from proxy.stores.base import Entry
from proxy.stores.shared import SharedArena, SharedStore
from tests.stores.test_memory import entry, finished, key
from tests.support.clock import Clock
from tests.support.processes import module, running, wait_until

LIMIT = 1 << 17


class Shared(RuleBasedStateMachine):
    """Two workers' stores on one arena against a dictionary: an answer may have been given up, but never be another."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = Clock(0.0)
        arena = SharedArena(LIMIT)
        self.stores = [
            SharedStore(arena, clock=self.clock),
            SharedStore(arena, near_bytes=LIMIT // 4, clock=self.clock),
        ]
        self.model: dict[bytes, Entry] = {}
        self.made = 0

    def store(self, worker: int) -> SharedStore:
        return self.stores[worker]

    @rule(worker=st.integers(0, 1), number=st.integers(0, 40), size=st.integers(0, 20_000), fields=st.integers(0, 8))
    def put(self, worker: int, number: int, size: int, fields: int) -> None:
        self.made += 1
        kept = entry(size + self.made % 7, fields=fields)
        finished(self.store(worker).put(key(number), kept))
        self.model[key(number)] = kept
        got = finished(self.store(1 - worker).get(key(number)))
        assert got == kept or (got is None and size > 10_000)

    @rule(worker=st.integers(0, 1), number=st.integers(0, 40))
    def get(self, worker: int, number: int) -> None:
        got = finished(self.store(worker).get(key(number)))
        assert got is None or got == self.model.get(key(number))

    @rule(worker=st.integers(0, 1), number=st.integers(0, 40))
    def delete(self, worker: int, number: int) -> None:
        was_there = finished(self.store(worker).get(key(number))) is not None
        assert finished(self.store(worker).delete(key(number))) == was_there
        self.model.pop(key(number), None)
        assert all(finished(each.get(key(number))) is None for each in self.stores)

    @rule(worker=st.integers(0, 1))
    def clear(self, worker: int) -> None:
        entries = self.store(worker).stats().entries
        assert finished(self.store(worker).clear()) == entries
        self.model.clear()
        assert self.store(0).stats().used_bytes == 0

    @rule(seconds=st.floats(0, 10_000))
    def wait(self, seconds: float) -> None:
        self.clock.now += seconds

    @invariant()
    def counts_what_can_be_found_and_holds_no_more_than_it_may(self) -> None:
        found = [finished(self.store(0).get(name)) for name in self.model]
        stats = self.store(1).stats()
        assert stats.entries == len([each for each in found if each is not None])
        assert stats.used_bytes >= sum(len(each.body) for each in found if each is not None)
        assert stats.used_bytes <= stats.limit_bytes == LIMIT
        assert stats == self.store(0).stats()


TestShared = Shared.TestCase


async def filled(store: SharedStore, numbers: range, size: int = 1000) -> None:
    for number in numbers:
        await store.put(key(number), entry(size))


async def found(store: SharedStore, numbers: range) -> list[int]:
    return [number for number in numbers if await store.get(key(number)) is not None]


async def test_the_oldest_goes_first_unless_it_was_read() -> None:
    clock = Clock(0.0)
    store = SharedStore(SharedArena(LIMIT), clock=clock)
    await filled(store, range(100))
    there = await found(SharedStore(SharedArena(LIMIT)), range(100))
    assert there == []
    entries = store.stats().entries
    evicted = store.stats().evicted
    assert entries + evicted == 100
    oldest = 100 - entries
    assert await store.get(key(oldest)) is not None
    await filled(store, range(100, 105))
    assert await store.get(key(oldest)) is not None
    assert await found(store, range(oldest + 1, oldest + 4)) == []
    assert store.stats().evicted > evicted


async def test_what_has_expired_is_not_spared() -> None:
    clock = Clock(0.0)
    store = SharedStore(SharedArena(LIMIT), clock=clock)
    await filled(store, range(100))
    oldest = 100 - store.stats().entries
    assert await store.get(key(oldest)) is not None
    clock.now = 1e6
    await filled(store, range(100, 105))
    assert await store.get(key(oldest)) is None


async def test_an_entry_too_large_pushes_nothing_out_and_forgets_the_older_one() -> None:
    store = SharedStore(SharedArena(LIMIT))
    await store.put(key(1), entry(100))
    await store.put(key(2), entry(100))
    await store.put(key(1), entry(LIMIT // 4))
    assert await store.get(key(1)) is None
    assert await store.get(key(2)) is not None
    assert store.stats().evicted == 0


async def test_what_cannot_be_written_is_not_kept_and_forgets_the_older_one() -> None:
    store = SharedStore(SharedArena(LIMIT))
    await store.put(key(1), entry(100))
    odd = entry(100)
    odd.headers.append((b"x-odd", b"\0"))
    await store.put(key(1), odd)
    assert await store.get(key(1)) is None
    assert store.stats().entries == 0


async def test_without_room_nothing_is_kept() -> None:
    for limit in (0, 1000, 65_535):
        store = SharedStore(SharedArena(limit))
        await store.put(key(1), entry(0))
        assert await store.get(key(1)) is None
        assert await store.clear() == 0
        assert (store.stats().entries, store.stats().limit_bytes) == (0, limit)


async def test_more_keys_than_a_bucket_has_slots_push_the_unread_ones_out() -> None:
    arena = SharedArena(65_536)
    store = SharedStore(arena)
    slots = arena.bucket_count * 8
    for number in range(slots * 2):
        await store.put(key(number), entry(0, fields=0, usage=False))
    stats = store.stats()
    assert stats.entries <= slots
    assert stats.entries + stats.evicted == slots * 2
    assert len(await found(store, range(slots * 2))) == stats.entries


async def test_memory_that_nothing_was_written_to_is_not_taken() -> None:
    arena = SharedArena(1 << 34)  # 16 GiB
    store = SharedStore(arena)
    await store.put(key(1), entry(1000))
    assert await store.get(key(1)) is not None


async def test_everything_together_is_within_the_limit() -> None:
    for limit in (65_536, 100_000, 1 << 20, (1 << 27) + 1):
        arena = SharedArena(limit)
        parts = (arena.state, arena.tags, arena.positions, arena.marks, arena.ring)
        assert limit * 0.9 - 8192 < sum(part.nbytes for part in parts) <= limit


async def test_a_ring_that_is_broken_is_emptied_and_goes_on() -> None:
    arena = SharedArena(LIMIT)
    store = SharedStore(arena)
    await filled(store, range(100))
    tail = arena.state[TAIL] % arena.ring_bytes
    arena.ring[tail : tail + 64] = bytes(64)
    await filled(store, range(100, 200))
    assert await store.get(key(199)) is not None
    assert store.stats().entries == len(await found(store, range(200)))


async def test_whatever_is_written_over_a_record_it_is_a_miss() -> None:
    arena = SharedArena(LIMIT)
    store = SharedStore(arena)
    await store.put(key(1), entry(300))
    at = (arena.state[TAIL]) % arena.ring_bytes
    length = arena.state[HEAD] - arena.state[TAIL]
    rng = random.Random(3)
    whole = bytes(arena.ring[at : at + length])
    for _ in range(2000):
        start = rng.randrange(length)
        size = rng.randrange(1, length - start + 1)
        arena.ring[at + start : at + start + size] = rng.randbytes(size)
        got = await store.get(key(1))
        assert got is None or got == entry(300)
        arena.ring[at : at + length] = whole
    assert await store.get(key(1)) == entry(300)


_HOLDER = """
import fcntl, sys
fcntl.lockf(int(sys.argv[1]), fcntl.LOCK_EX, 1, 0)
print("held", flush=True)
sys.stdin.read()
"""


@contextlib.contextmanager
def held(descriptor: int) -> Iterator[None]:
    """Another process holds the lock until the block is left; then it is killed."""
    command = [sys.executable, "-c", _HOLDER, str(descriptor)]
    with subprocess.Popen(command, pass_fds=[descriptor], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        try:
            yield
        finally:
            holder.kill()


async def test_a_worker_that_gets_no_turn_keeps_nothing_and_reads_on() -> None:
    arena = SharedArena(LIMIT)
    store = SharedStore(arena)
    await store.put(key(1), entry(100))
    with held(arena.lock.descriptor):
        await store.put(key(2), entry(100))
        for refused in (store.delete(key(1)), store.clear()):
            with pytest.raises(TimeoutError):
                await refused
        assert not arena.lock.acquire_blocking(0.01)
        assert await store.get(key(1)) is not None
        assert await store.get(key(2)) is None
    await store.put(key(2), entry(100))  # the kernel has freed the lock
    assert await store.get(key(2)) is not None


def test_workers_that_are_killed_while_they_write_leave_a_good_arena(tmp_path: Path) -> None:
    with running(module("tests.stores.hammer"), tmp_path) as process:
        wait_until(lambda: not process.is_running(), "it has ended")
        assert process.popen.returncode == 0, process.output
        assert int(process.output.split()[0]) > 0  # hits
