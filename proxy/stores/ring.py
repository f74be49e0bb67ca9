"""The records of a shared arena: a log that is written at its head and given up at its tail.

Rules: a record stands in one piece at `position % size`, and says its own position; positions only grow. The tail
moves on before anything is written over, so whoever copies a record out, and then finds the tail still at or before it,
has copied it whole; the envelope's checksum says so once more, for processors that reorder what others write. A record
counts from the moment the head has passed it: a writer that dies before has written nothing.
"""

import struct
from dataclasses import dataclass
from typing import Final

from proxy.stores.arena import ALIGNMENT, HEAD, TAIL, SharedArena

_HEADER = struct.Struct(
    "=QIIdHB"
)  # position, bytes of the whole record, of its content; expiry; bytes of the key; state
_LIVE: Final = 1
_FILLER: Final = 0
_STATE_AT: Final = _HEADER.size - 1


@dataclass(frozen=True, slots=True)
class Record:
    """What was at the tail. `key` is empty for what only filled the ring's end, or was deleted."""

    position: int
    size: int  # as it counts: rounded up
    key: bytes
    content: slice  # where it still is, until the next `append`
    expires_at: float


class BrokenRingError(Exception):
    """The tail does not stand on a record."""


class Ring:
    """The log. Only the holder of the arena's lock calls anything but `read`."""

    def __init__(self, arena: SharedArena) -> None:
        self._state = arena.state
        self._ring = arena.ring
        self._size = arena.ring_bytes

    @staticmethod
    def size_of(key: bytes, content: bytes) -> int:
        """What a record takes."""
        return -(-(_HEADER.size + len(key) + len(content)) // ALIGNMENT) * ALIGNMENT

    def read(self, position: int, key: bytes) -> bytes | None:
        """The content of the key's record at this position; None when it is not there (any more)."""
        offset = position % self._size
        at, size, length, _, key_length, state = _HEADER.unpack_from(self._ring, offset)
        start = offset + _HEADER.size
        end = start + key_length + length
        if at != position or state != _LIVE or key_length != len(key) or end > offset + size:
            return None
        if self._ring[start : start + key_length] != key:
            return None
        content = bytes(self._ring[start + key_length : end])
        return content if self._state[TAIL] <= position else None

    def key_at(self, position: int) -> bytes | None:
        """The key of whatever record stands at this position; None when none does (any more)."""
        offset = position % self._size
        at, _, _, _, key_length, state = _HEADER.unpack_from(self._ring, offset)
        start = offset + _HEADER.size
        key = bytes(self._ring[start : start + key_length])
        return key if at == position and state == _LIVE and self._state[TAIL] <= position else None

    def is_at(self, position: int, key: bytes) -> bool:
        """Does the key's record stand at this position? For the holder of the lock: nobody writes meanwhile."""
        offset = position % self._size
        key_length, state = _HEADER.unpack_from(self._ring, offset)[4:]
        start = offset + _HEADER.size
        return state == _LIVE and self._ring[start : start + key_length] == key

    def fits(self, size: int) -> bool:
        """Is there room for a record of this size, and for what has to be left out before the ring's end?"""
        head = self._state[HEAD]
        return self._size - (head - self._state[TAIL]) >= self._skip(head, size) + size

    def _skip(self, head: int, size: int) -> int:
        left = self._size - head % self._size
        return 0 if size <= left else left

    def append(self, key: bytes, content: bytes, expires_at: float) -> int:
        """Write a record that fits; returns its position."""
        size = self.size_of(key, content)
        head = self._state[HEAD]
        if skip := self._skip(head, size):
            _HEADER.pack_into(self._ring, head % self._size, head, skip, 0, 0.0, 0, _FILLER)
            head += skip
            self._state[HEAD] = head
        offset = head % self._size
        _HEADER.pack_into(self._ring, offset, head, size, len(content), expires_at, len(key), _LIVE)
        start = offset + _HEADER.size
        self._ring[start : start + len(key)] = key
        start += len(key)
        self._ring[start : start + len(content)] = content
        self._state[HEAD] = head + size
        return head

    def is_empty(self) -> bool:
        """Nothing is in it."""
        return self._state[TAIL] == self._state[HEAD]

    def pop(self) -> Record:
        """Give the oldest record up; returns it. Raises BrokenRingError."""
        tail = self._state[TAIL]
        offset = tail % self._size
        at, size, length, expires_at, key_length, state = _HEADER.unpack_from(self._ring, offset)
        if at != tail or size % ALIGNMENT or not 0 < size <= self._state[HEAD] - tail:
            raise BrokenRingError
        start = offset + _HEADER.size
        key = bytes(self._ring[start : start + key_length]) if state == _LIVE else b""
        self._state[TAIL] = tail + size
        return Record(tail, size, key, slice(start + key_length, start + key_length + length), expires_at)

    def content_of(self, record: Record) -> bytes:
        """A copy of what a record held that has just been given up."""
        return bytes(self._ring[record.content])

    def kill(self, position: int) -> int:
        """The record is not wanted any more; returns how much it takes."""
        offset = position % self._size
        size: int = _HEADER.unpack_from(self._ring, offset)[1]
        self._ring[offset + _STATE_AT] = _FILLER
        return size

    def give_up_all(self) -> None:
        """Forget every record, at once."""
        self._state[TAIL] = self._state[HEAD]
