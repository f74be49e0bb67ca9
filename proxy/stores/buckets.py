"""Where the records of a shared arena are found: a hash table of buckets with eight slots each.

Rules: a key's record stands in the key's own bucket or nowhere. A slot holds a tag (32 bits of the key's checksum) and
a position; a slot whose position lies before the ring's tail is empty, so forgetting everything touches no slot. A
reader may see a slot half written: it then finds a record that is not the key's, and that is a miss.
"""

import struct
import zlib
from collections.abc import Iterator
from typing import Final

from proxy.stores.arena import SLOTS, TAIL, SharedArena

_TAGS = struct.Struct(f"={SLOTS}I")
_TAG = struct.Struct("=I")
_NO_SLOTS: Final[tuple[int, ...]] = ()


class Buckets:
    """The table. Readers call `candidates`, `position` and `mark`; the rest is for the holder of the arena's lock."""

    def __init__(self, arena: SharedArena) -> None:
        self._state = arena.state
        self._tags = arena.tags
        self._positions = arena.positions
        self._marks = arena.marks
        self._mask = arena.bucket_count - 1

    def candidates(self, key: bytes) -> tuple[int, ...]:
        """The slots that may be this key's: nearly always one or none."""
        tag = zlib.crc32(key)
        first = (tag & self._mask) * SLOTS
        tags = _TAGS.unpack_from(self._tags, first * 4)
        if tag not in tags:
            return _NO_SLOTS
        return tuple([first + number for number, found in enumerate(tags) if found == tag])

    def position(self, slot: int) -> int:
        """Where the slot's record is; 0 when it is empty."""
        position = self._positions[slot]
        return position if position >= self._state[TAIL] else 0

    def positions(self) -> Iterator[int]:
        """Of every slot in turn; 0 for an empty one."""
        return map(self.position, range(len(self._marks)))

    def slot_at(self, key: bytes, position: int) -> int | None:
        """The key's slot, if it leads to this very record."""
        return next((slot for slot in self.candidates(key) if self._positions[slot] == position), None)

    def choose(self, key: bytes) -> int:
        """A slot for a key that has none: an empty one, or else the one whose record has gone unread for longest."""
        first = (zlib.crc32(key) & self._mask) * SLOTS
        return min(range(first, first + SLOTS), key=self._worth)

    def _worth(self, slot: int) -> tuple[bool, int]:
        position = self.position(slot)
        return (position > 0 and self._marks[slot] > 0, position)

    def set(self, slot: int, key: bytes, position: int) -> None:
        """Lead the slot to a record. The position is written last: from then on it can be found."""
        tag = zlib.crc32(key)
        if _TAG.unpack_from(self._tags, slot * 4)[0] != tag:
            self._positions[slot] = 0
            _TAG.pack_into(self._tags, slot * 4, tag)
        self._marks[slot] = 0
        self._positions[slot] = position

    def empty(self, slot: int) -> None:
        """Lead it nowhere."""
        self._positions[slot] = 0

    def mark(self, slot: int) -> None:
        """Somebody read it."""
        if not self._marks[slot]:  # most are marked: what is not written stays in the other cores' caches
            self._marks[slot] = 1

    def take_mark(self, slot: int) -> bool:
        """Has somebody read it since the last time?"""
        was_read = self._marks[slot] > 0
        self._marks[slot] = 0
        return was_read
