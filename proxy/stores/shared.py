"""The tier that all workers of one machine share: what one has stored, every other one replays.

Rules: readers take no lock, and a record that is overwritten while it is read is a miss, never another's answer (see
ring.py). Writers take turns. What is oldest goes first, unless it was read since it was written or last spared; what
has expired is never spared. A writer that dies at any point leaves an arena that works on: an answer that it had not
written whole is not found, and the figures may be off by that one.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from typing import Final

import structlog

from proxy.stores.arena import ENTRIES, EVICTED, USED, SharedArena
from proxy.stores.base import Entry, StoreStats
from proxy.stores.buckets import Buckets
from proxy.stores.envelope import opened, seal
from proxy.stores.listing import PAGE_BYTES, Kept, first_keys
from proxy.stores.near import NearEntries
from proxy.stores.ring import BrokenRingError, Record, Ring

log = structlog.get_logger(__name__)

_PUT_DEADLINE_S: Final = 1.0  # nobody waits for it but the answer itself
_CLEAR_DEADLINE_S: Final = 2.0
_SPARED_RECORDS: Final = 16  # for one that is written, so that writing takes bounded time
_SPARED_BYTES: Final = 262_144
_SLOTS_AT_ONCE: Final = 4_096  # looked at without a pause

__all__ = ["SharedArena", "SharedStore"]


class SharedStore:
    """One worker's way to the arena. An entry larger than an eighth of the arena is not kept.

    near_bytes: for answers that this worker keeps opened, besides the arena (see near.py).
    """

    def __init__(self, arena: SharedArena, *, near_bytes: int = 0, clock: Callable[[], float] = time.time) -> None:
        self._arena = arena
        self._lock = arena.lock
        self._state = arena.state
        self._buckets = Buckets(arena)
        self._ring = Ring(arena)
        self._near = NearEntries(near_bytes)
        self._largest = arena.ring_bytes // 8
        self._clock = clock

    async def get(self, key: bytes) -> Entry | None:
        if (near := self.peek(key)) is not None:
            return near
        buckets = self._buckets
        for slot in buckets.candidates(key):
            if not (position := buckets.position(slot)):
                continue
            content = self._ring.read(position, key)
            if content is not None and (entry := opened(content, key)) is not None:
                buckets.mark(slot)
                self._near.keep(key, entry, slot, position)
                return entry
        return None

    def peek(self, key: bytes) -> Entry | None:
        """See Peeking: here, what this worker has opened lately and the arena still has."""
        near = self._near.get(key)
        if near is None:
            return None
        if self._buckets.position(near.slot) != near.position:
            self._near.forget(key)
            return None
        self._buckets.mark(near.slot)
        return near.entry

    async def entries(self, after: bytes, limit: int) -> list[Kept]:
        """See Listing. Readers take no lock: what is overwritten meanwhile is left out."""
        found: list[Kept] = []
        total = 0
        places = {key: position async for key, position in self._places()}
        for key in await first_keys(places, after, limit):
            content = self._ring.read(places[key], key)
            entry = opened(content, key) if content is not None else None
            if content is not None and entry is not None:
                found.append(Kept(key, Ring.size_of(key, content), entry))
                total += len(content)
            if total >= PAGE_BYTES:
                break
        return found

    async def _places(self) -> AsyncIterator[tuple[bytes, int]]:
        """Every key, and where its record is."""
        for number, position in enumerate(self._buckets.positions()):
            if number % _SLOTS_AT_ONCE == _SLOTS_AT_ONCE - 1:
                await asyncio.sleep(0)
            if position and (key := self._ring.key_at(position)) is not None:
                yield key, position

    async def put(self, key: bytes, entry: Entry) -> None:
        """Not kept when the other workers leave no turn for a second."""
        try:
            content = seal(entry, key)
        except ValueError:
            content = None
        if not await self._lock.acquire(_PUT_DEADLINE_S):
            log.warning("shared_cache_busy", operation="put")
            return
        try:
            if content is not None and Ring.size_of(key, content) <= self._largest:
                self._write(key, content, entry.stored_at + entry.ttl_s)
            else:
                self._forget(key)
        finally:
            self._lock.release()

    async def delete(self, key: bytes) -> bool:
        """Raises TimeoutError when the other workers leave no turn for two seconds."""
        await self._take_turn()
        try:
            return self._forget(key)
        finally:
            self._lock.release()

    async def clear(self) -> int:
        """For all workers, in constant time. Raises TimeoutError as `delete` does."""
        await self._take_turn()
        try:
            return self._forget_all()
        finally:
            self._lock.release()

    def stats(self) -> StoreStats:
        state = self._state
        return StoreStats("shared", state[ENTRIES], state[USED], self._arena.limit_bytes, state[EVICTED])

    # -- under the lock

    async def _take_turn(self) -> None:
        if not await self._lock.acquire(_CLEAR_DEADLINE_S):
            raise TimeoutError("the cache shared by all workers is busy")

    def _find(self, key: bytes) -> int | None:
        for slot in self._buckets.candidates(key):
            if (position := self._buckets.position(slot)) and self._ring.is_at(position, key):
                return slot
        return None

    def _forget(self, key: bytes) -> bool:
        if (slot := self._find(key)) is None:
            return False
        position = self._buckets.position(slot)
        self._buckets.empty(slot)
        self._count(-1, -self._ring.kill(position))
        return True

    def _forget_all(self) -> int:
        count = self._state[ENTRIES]
        self._ring.give_up_all()
        self._state[ENTRIES] = self._state[USED] = 0
        return count

    def _write(self, key: bytes, content: bytes, expires_at: float) -> None:
        size = Ring.size_of(key, content)
        self._make_room(size)
        slot = self._find(key)
        is_new = slot is None
        if slot is None:
            slot = self._buckets.choose(key)
        replaced = self._buckets.position(slot)
        self._buckets.set(slot, key, self._ring.append(key, content, expires_at))
        self._count(1, size)
        if replaced:
            self._count(-1, -self._ring.kill(replaced))
            self._state[EVICTED] += is_new

    def _make_room(self, size: int) -> None:
        records, room = _SPARED_RECORDS, _SPARED_BYTES
        try:
            while not self._ring.fits(size):
                record = self._ring.pop()
                if not record.key or (slot := self._buckets.slot_at(record.key, record.position)) is None:
                    continue
                was_read = self._buckets.take_mark(slot) and record.expires_at > self._clock()
                if was_read and records > 0 and record.size <= room and self._ring.fits(record.size):
                    self._spare(slot, record)
                    records, room = records - 1, room - record.size
                else:
                    self._buckets.empty(slot)
                    self._count(-1, -record.size)
                    self._state[EVICTED] += 1
        except BrokenRingError:
            log.error("shared_cache_broken")
            self._state[EVICTED] += self._forget_all()

    def _spare(self, slot: int, record: Record) -> None:
        """Its second chance: it is written once more, as the newest."""
        content = self._ring.content_of(record)
        self._buckets.set(slot, record.key, self._ring.append(record.key, content, record.expires_at))

    def _count(self, entries: int, size: int) -> None:
        """Words are unsigned, and a writer that died may have left them too small."""
        self._state[ENTRIES] = max(0, self._state[ENTRIES] + entries)
        self._state[USED] = max(0, self._state[USED] + size)
