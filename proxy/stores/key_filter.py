"""Which keys a tier surely does not have, told from memory: a miss must not cost a look at the disk.

Rules: a Bloom filter. It may say "perhaps" of a key that is not there (3 in 100 when it is full, 1 in 200 when it was
just made), never "surely not" of one that is. Keys are never taken out; it is made anew when it is full. It takes one
byte for each key that it has room for. Used by one thread at a time.
"""

from typing import Final

_LEAST: Final = 32_768
_HALF: Final = 32
_MASK: Final = (1 << _HALF) - 1


class KeyFilter:
    """Room for `capacity` keys."""

    __slots__ = ("_bits", "_size", "added", "capacity")

    def __init__(self, capacity: int = 0) -> None:
        self.capacity = max(capacity, _LEAST)
        self.added = 0
        self._bits = bytearray(self.capacity)
        self._size = self.capacity * 8

    @property
    def is_full(self) -> bool:
        """Is it time for a larger one, or for one without what is gone?"""
        return self.added >= self.capacity

    def add(self, key: bytes) -> None:
        """From now on it may hold this key."""
        digest, size, bits = hash(key), self._size, self._bits
        first, second = digest & _MASK, digest >> _HALF & _MASK
        for place in (first % size, second % size, (first + 3 * second) % size):
            bits[place >> 3] |= 1 << (place & 7)
        self.added += 1

    def may_hold(self, key: bytes) -> bool:
        """False: it was surely never added."""
        digest, size, bits = hash(key), self._size, self._bits
        first, second = digest & _MASK, digest >> _HALF & _MASK
        place = first % size
        if not bits[place >> 3] & 1 << (place & 7):
            return False
        place = second % size
        if not bits[place >> 3] & 1 << (place & 7):
            return False
        place = (first + 3 * second) % size
        return bits[place >> 3] & 1 << (place & 7) > 0
