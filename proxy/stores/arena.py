"""Memory that all workers of one machine share: where the cached answers of `SharedStore` are.

    state (a page of 64-bit words) | tags | positions | marks | ring

Rules: made before the workers are forked, and never grown; pages that nothing was written to take no memory. It counts
everything: all parts together are no larger than asked. Only the holder of `lock` writes, except for the marks (one
byte a slot, set by readers); readers take no lock.
"""

import mmap
import os
import weakref
from typing import Final

from proxy.stores.lock import FileLock

SLOTS: Final = 8  # of a bucket
ALIGNMENT: Final = 64  # of records in the ring

# The words of the state.
HEAD: Final = 0  # where the next record goes
TAIL: Final = 1  # the oldest record
ENTRIES: Final = 2
USED: Final = 3  # bytes of the records that can be found
EVICTED: Final = 4

_STATE_BYTES: Final = 4096
_SLOT_BYTES: Final = 4 + 8 + 1  # tag, position, mark
_BYTES_PER_SLOT: Final = 512  # smaller answers are rare: the ring is full before the buckets are
_LEAST_BYTES: Final = 65_536  # below it there is no room for a single answer


class SharedArena:
    """See the module. `limit_bytes`: all of it together; too little of it gives a ring of no bytes."""

    def __init__(self, limit_bytes: int) -> None:
        self.limit_bytes = limit_bytes
        self.bucket_count = 1 << max(0, (limit_bytes // (_BYTES_PER_SLOT * SLOTS)).bit_length() - 1)
        slots = self.bucket_count * SLOTS
        ring_at = -(-(_STATE_BYTES + slots * _SLOT_BYTES) // ALIGNMENT) * ALIGNMENT
        room = limit_bytes - ring_at if limit_bytes >= _LEAST_BYTES else 0
        self.ring_bytes = room // ALIGNMENT * ALIGNMENT
        size = ring_at + self.ring_bytes
        descriptor = os.memfd_create("skinflint-cache")
        weakref.finalize(self, os.close, descriptor)
        os.ftruncate(descriptor, size)
        whole = memoryview(mmap.mmap(descriptor, size))
        tags_at, positions_at, marks_at = _STATE_BYTES, _STATE_BYTES + slots * 4, _STATE_BYTES + slots * 12
        self.state = whole[:tags_at].cast("Q")
        self.tags = whole[tags_at:positions_at]
        self.positions = whole[positions_at:marks_at].cast("Q")
        self.marks = whole[marks_at : marks_at + slots]
        self.ring = whole[ring_at:]
        self.lock = FileLock(descriptor, 0)
        # Positions only grow, so that none is ever used twice; a position of zero is an empty slot.
        self.state[HEAD] = self.state[TAIL] = max(self.ring_bytes, ALIGNMENT)
