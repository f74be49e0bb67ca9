"""How often a fingerprint was asked for lately, about: also of answers that are not kept any more.

A count-min sketch: four rows of one-byte counters. Rules: fingerprints are keyed digests, so parts of them are the
hashes. Counts are never too small but for what is forgotten: all are halved after so many. Bounded: 256 KiB, which take
memory only once they are used.
"""

import struct
from typing import Final

_WIDTH: Final = 65_536  # what two bytes of a digest can say
_MOST: Final = 255
_PERIOD: Final = 400_000  # counts between two halvings: six a counter of a row
_HALVES: Final = bytes(number >> 1 for number in range(256))
_PLACES: Final = struct.Struct("<4H")
_PLACES_AT: Final = 24  # the last bytes of a fingerprint


class Popularity:
    """See the module. `period`: of the halvings."""

    def __init__(self, period: int = _PERIOD) -> None:
        self._rows = [bytearray(_WIDTH) for _ in range(4)]
        self._period = period
        self._counted = 0

    def add(self, key: bytes, times: int = 1) -> None:
        """It was asked for. Keys have 32 bytes."""
        first, second, third, fourth = self._rows
        one, two, three, four = _PLACES.unpack_from(key, _PLACES_AT)
        count = min(_MOST, min(first[one], second[two], third[three], fourth[four]) + times)
        first[one] = max(first[one], count)  # no more than its own count needs: other keys share the counters
        second[two] = max(second[two], count)
        third[three] = max(third[three], count)
        fourth[four] = max(fourth[four], count)
        self._counted += times
        if self._counted >= self._period:
            self._counted //= 2
            self._rows = [row.translate(_HALVES) for row in self._rows]

    def count(self, key: bytes) -> int:
        """How often; 255 at most."""
        first, second, third, fourth = self._rows
        one, two, three, four = _PLACES.unpack_from(key, _PLACES_AT)
        count: int = min(first[one], second[two], third[three], fourth[four])
        return count
