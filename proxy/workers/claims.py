"""Which worker leads the flight of a call: a table in memory that all workers share.

Rules: a claim is taken under a lock that the kernel frees when its holder dies, looked up without one, and given back
by its owner. An owner is a process, not a place: a replacement never inherits the claims of the dead, which go all at
once, or one by one to whoever finds that their owner does not answer. When there is no room, or no turn in time, there
is no claim: that worker makes the call by itself, and nothing is lost but the sharing.
"""

import mmap
import os
import weakref
import zlib
from typing import Final

from proxy.stores.lock import FileLock

_KEY_BYTES: Final = 32
_BUCKET: Final = 8  # rows that a key may stand in
_SLOTS: Final = 16_384  # flights of all workers at a time; 640 KiB, of which what is unused takes no memory
_DEADLINE_S: Final = 0.25  # a call waits for it
_DEATH_DEADLINE_S: Final = 1.0
_PLACES: Final = 1 << 16  # an owner is the process's id above the number of its place


def owner_of(pid: int, index: int) -> int:
    """The mark of the worker in this place; never zero."""
    return pid * _PLACES + index


def place_of(owner: int) -> int:
    """The place of an owner."""
    return owner % _PLACES


class ClaimTable:
    """See the module. Made before the workers are forked. Keys are fingerprints of 32 bytes."""

    def __init__(self, slots: int = _SLOTS) -> None:
        self._buckets = max(1, slots // _BUCKET)
        count = self._buckets * _BUCKET
        descriptor = os.memfd_create("skinflint-claims")
        weakref.finalize(self, os.close, descriptor)
        size = count * (8 + _KEY_BYTES)
        os.ftruncate(descriptor, size)
        whole = memoryview(mmap.mmap(descriptor, size))
        self._owners = whole[: count * 8].cast("Q")
        self._keys = whole[count * 8 :]
        self.lock = FileLock(descriptor, 0)

    def look_up(self, key: bytes) -> int:
        """Who has claimed it; 0 when nobody has."""
        for slot in self._slots_of(key):
            owner = self._owners[slot]
            if owner and self._key(slot) == key and self._owners[slot] == owner:
                return owner
        return 0

    async def claim(self, key: bytes, owner: int, instead_of: int = 0) -> int:
        """Claim it for `owner`, if nobody but `instead_of` has; returns who has it now, 0 when nobody can."""
        holder = self.look_up(key)
        if holder not in (0, instead_of):
            return holder
        if not await self.lock.acquire(_DEADLINE_S):
            return 0
        try:
            return self._claim(key, owner, instead_of)
        finally:
            self.lock.release()

    def _claim(self, key: bytes, owner: int, instead_of: int) -> int:
        free = -1
        for slot in self._slots_of(key):
            holder = self._owners[slot]
            if not holder:
                free = slot
            elif self._key(slot) == key:
                if holder != instead_of:
                    return holder
                self._owners[slot] = owner
                return owner
        if free < 0:
            return 0
        self._keys[free * _KEY_BYTES : (free + 1) * _KEY_BYTES] = key
        self._owners[free] = owner  # last: from now on it is claimed
        return owner

    def release(self, key: bytes, owner: int) -> None:
        """Give it back. Nothing happens when another has it by now."""
        for slot in self._slots_of(key):
            if self._owners[slot] == owner and self._key(slot) == key:
                self._owners[slot] = 0

    def release_place(self, index: int) -> int:
        """The worker in this place is dead, and not yet replaced: give back all that it had; returns how many."""
        locked = self.lock.acquire_blocking(_DEATH_DEADLINE_S)
        try:
            held = [slot for slot, owner in enumerate(self._owners.tolist()) if owner and place_of(owner) == index]
            for slot in held:
                self._owners[slot] = 0
            return len(held)
        finally:
            if locked:
                self.lock.release()

    def held(self) -> int:
        """How many there are."""
        return sum(1 for owner in self._owners.tolist() if owner)

    def _slots_of(self, key: bytes) -> range:
        first = zlib.crc32(key) % self._buckets * _BUCKET
        return range(first, first + _BUCKET)

    def _key(self, slot: int) -> bytes:
        return bytes(self._keys[slot * _KEY_BYTES : (slot + 1) * _KEY_BYTES])
