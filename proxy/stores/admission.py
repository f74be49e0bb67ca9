"""Which tiers outside this process's memory keep an answer, and for how long. Pure, but for the counts it is given.

Rules: what is sensitive goes only where it is encrypted. Small answers are always kept, for as long as the policy says.
A large one has to be worth its bytes: with less it is kept for less long, and with very little only once it is asked
for again. What is dearer, slower, smaller or asked for more often is never kept for less long.
"""

from collections.abc import Collection
from typing import Final

from proxy.stores.base import Entry, Store
from proxy.stores.popularity import Popularity
from proxy.stores.worth import worth_nanousd

SMALL_BYTES: Final = 65_536  # below it, writing costs what the call costs, not what the bytes do
FULL_WORTH: Final = 1_000  # nano-dollars a KiB: 100 KiB that came at once for nothing have it
LEAST_SHARE: Final = 0.2  # of the time to live; with less at its first sight an answer is not written

_KIB: Final = 1024


def share_of_ttl(entry: Entry, asked: int) -> float:
    """For how much of its time to live an outer tier should keep it; 0: not at all. `asked`: how often it was."""
    size = len(entry.body)
    if size <= SMALL_BYTES:
        return 1.0
    share = worth_nanousd(entry) * max(1, asked) * _KIB / size / FULL_WORTH
    if share >= LEAST_SHARE:
        return min(1.0, share)
    return LEAST_SHARE if asked > 1 else 0.0


class Admission:
    """`sealed`: the stores that encrypt what they keep; only these may have what is sensitive."""

    def __init__(self, sealed: Collection[Store] = (), popularity: Popularity | None = None) -> None:
        self._sealed = tuple(sealed)
        self._popularity = popularity or Popularity()

    def asked(self, key: bytes) -> None:
        """It was asked for, and not in memory."""
        self._popularity.add(key)

    def share(self, key: bytes, entry: Entry) -> float:
        """See `share_of_ttl`."""
        if len(entry.body) <= SMALL_BYTES:
            return 1.0
        return share_of_ttl(entry, self._popularity.count(key))

    def admits(self, store: Store, entry: Entry) -> bool:
        """May this store keep it?"""
        return not entry.sensitive or any(store is each for each in self._sealed)
