"""Which keys a tier surely does not have, told from memory: a miss must not cost a look at the disk.

Rules: a Bloom filter. It may say "perhaps" of a key that is not there (3 in 100 when it is full, 1 in 200 when it was
just made), never "surely not" of one that is. Keys are never taken out; it is made anew when it is full. It takes one
byte for each key that it has room for, which is a power of two, so that places are found by masks. Used by one thread
at a time.
"""

from typing import Final

_LEAST: Final = 32_768
_HALF: Final = 30  # bits of Python's hash that one place is found by: what fits into one digit of its integers


class KeyFilter:
    """Room for `capacity` keys."""

    __slots__ = ("_bits", "_mask", "added", "capacity")

    def __init__(self, capacity: int = 0) -> None:
        self.capacity = 1 << (max(capacity, _LEAST) - 1).bit_length()
        self.added = 0
        self._bits = bytearray(self.capacity)
        self._mask = self.capacity * 8 - 1

    @property
    def is_full(self) -> bool:
        """Is it time for a larger one, or for one without what is gone?"""
        return self.added >= self.capacity

    def add(self, key: bytes) -> None:
        """From now on it may hold this key."""
        digest, mask, bits = hash(key), self._mask, self._bits
        first, second = digest & mask, digest >> _HALF & mask
        third = first + 3 * second & mask
        bits[first >> 3] |= 1 << (first & 7)
        bits[second >> 3] |= 1 << (second & 7)
        bits[third >> 3] |= 1 << (third & 7)
        self.added += 1

    def may_hold(self, key: bytes) -> bool:
        """False: it was surely never added."""
        digest, mask, bits = hash(key), self._mask, self._bits
        first = digest & mask
        if not bits[first >> 3] & 1 << (first & 7):
            return False
        second = digest >> _HALF & mask
        if not bits[second >> 3] & 1 << (second & 7):
            return False
        third = first + 3 * second & mask
        return bits[third >> 3] & 1 << (third & 7) > 0
