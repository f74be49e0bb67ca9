"""Opened answers that a worker keeps: few, and never stale."""

from proxy.stores.base import Peeking
from proxy.stores.near import NearEntries
from proxy.stores.shared import SharedArena, SharedStore
from tests.stores.test_memory import entry, key


def kept(near: NearEntries, numbers: range) -> list[int]:
    return [number for number in numbers if near.get(key(number)) is not None]


def test_the_longest_unused_goes_first() -> None:
    near = NearEntries(20_000)
    for number in range(8):
        near.keep(key(number), entry(1000), slot=number, position=number)
    assert kept(near, range(8)) == list(range(8))
    assert near.get(key(0)) is not None
    for number in range(8, 12):
        near.keep(key(number), entry(1000), slot=number, position=number)
    left = kept(near, range(12))
    assert left[0] == 0
    assert 1 not in left
    assert left[-1] == 11


def test_what_is_large_is_opened_every_time() -> None:
    near = NearEntries(8000)
    near.keep(key(1), entry(2000), slot=1, position=1)
    near.keep(key(2), entry(500, fields=20), slot=2, position=2)  # it is its fields that take too much
    assert kept(near, range(3)) == []


def test_the_newer_replaces_the_older_and_is_counted_once() -> None:
    near = NearEntries(20_000)
    for number in range(100):
        near.keep(key(1), entry(1000), slot=1, position=number)
    near.keep(key(2), entry(1000), slot=2, position=1)
    newest = near.get(key(1))
    assert newest is not None
    assert newest.position == 99
    near.forget(key(1))
    near.forget(key(1))
    assert kept(near, range(3)) == [2]


async def test_it_can_say_at_once_what_it_has_opened_and_always_gives_the_same() -> None:
    arena = SharedArena(1 << 20)
    mine, other = SharedStore(arena, near_bytes=1 << 18), SharedStore(arena)
    assert isinstance(mine, Peeking)
    await other.put(key(1), entry(100))
    assert mine.peek(key(1)) is None
    got = await mine.get(key(1))
    assert mine.peek(key(1)) is got is not None
    await other.clear()
    assert mine.peek(key(1)) is None


async def test_what_another_worker_replaced_or_forgot_is_not_used_again() -> None:
    arena = SharedArena(1 << 20)
    mine, other = SharedStore(arena, near_bytes=1 << 18), SharedStore(arena)
    await other.put(key(1), entry(100))
    assert await mine.get(key(1)) is await mine.get(key(1)) is not None
    await other.put(key(1), entry(200))
    assert await mine.get(key(1)) == entry(200)
    await other.delete(key(1))
    assert await mine.get(key(1)) is None
    await other.put(key(1), entry(300))
    assert await mine.get(key(1)) == entry(300)
    await other.clear()
    assert await mine.get(key(1)) is None
