"""The tier in this process, bounded by bytes: what is worth least for its size goes first.

An entry's rank is the tier's age when it was last used, plus its uses times its weight: the square root of what a hit
on it is worth, for each byte that it takes. The tier's age is the highest rank that had to go (Greedy-Dual-Size-
Frequency). So what is asked for once goes before what is asked for often, and what was popular once goes in time.

Rules: everything an entry holds is counted. A hit writes two numbers; ranks are put in order when room is made. Uses
are remembered after an entry is gone (popularity.py), so what comes back is not new.
"""

import heapq
from math import sqrt
from typing import Final

from proxy.stores.base import Entry, StoreStats, size_of
from proxy.stores.listing import Kept, first_keys
from proxy.stores.popularity import Popularity
from proxy.stores.worth import worth_nanousd

_MOST_USES: Final = 64  # that count: what was popular once must not stay for ever
_ONE_USE: Final = 0.25  # what a single one counts: a row of calls that never come again ages the others little
_SLACK: Final = 64  # places in the heap of what is not there any more, besides one for each entry


class _Ranked:
    """An entry and what decides on it. Without its entry it is one that was forgotten, and still in the heap."""

    __slots__ = ("age", "entry", "key", "size", "uses", "weight")

    def __init__(self, key: bytes, entry: Entry, size: int, uses: int, age: float) -> None:
        self.key = key
        self.entry: Entry | None = entry
        self.size = size
        self.uses = uses
        self.age = age
        self.weight = sqrt(worth_nanousd(entry)) / size

    def rank(self) -> float:
        uses = min(self.uses, _MOST_USES) if self.uses > 1 else _ONE_USE
        return self.age + uses * self.weight


class MemoryStore:
    """See the module. An entry larger than an eighth of the bound is not kept: it would push out too much."""

    def __init__(self, limit_bytes: int, popularity: Popularity | None = None) -> None:
        """`popularity`: told by others of what was asked for and is not here."""
        self._limit = limit_bytes
        self._popularity = popularity or Popularity()
        self._kept: dict[bytes, _Ranked] = {}
        self._ranks: list[tuple[float, int, _Ranked]] = []  # a heap of ranks as they were once, never too high
        self._serial = 0  # among equals the first goes first
        self._age = 0.0
        self._used = 0
        self._evicted = 0

    async def get(self, key: bytes) -> Entry | None:
        return self.peek(key)

    def peek(self, key: bytes) -> Entry | None:
        """See Peeking: here, always what `get` gives."""
        kept = self._kept.get(key)
        if kept is None:
            return None
        kept.uses += 1
        kept.age = self._age
        return kept.entry

    async def put(self, key: bytes, entry: Entry) -> None:
        """When nothing is worth less, it is not kept."""
        size = size_of(entry, key)
        former = self._kept.get(key)
        self._forget(key)
        if size > self._limit // 8:
            return
        uses = former.uses if former is not None else max(1, self._popularity.count(key))
        kept = self._kept[key] = _Ranked(key, entry, size, uses, self._age)
        self._used += size
        self._push(kept, kept.rank())
        self._shrink()

    def _push(self, kept: _Ranked, rank: float) -> None:
        self._serial += 1
        heapq.heappush(self._ranks, (rank, self._serial, kept))

    async def entries(self, after: bytes, limit: int) -> list[Kept]:
        """See Listing."""
        found = [(key, self._kept.get(key)) for key in await first_keys(list(self._kept), after, limit)]
        return [Kept(key, held.size, held.entry) for key, held in found if held is not None and held.entry is not None]

    async def delete(self, key: bytes) -> bool:
        return self._forget(key)

    def _forget(self, key: bytes) -> bool:
        kept = self._kept.pop(key, None)
        if kept is None:
            return False
        self._used -= kept.size
        kept.entry = None
        if len(self._ranks) > 2 * len(self._kept) + _SLACK:
            self._ranks = [ranked for ranked in self._ranks if ranked[2].entry is not None]
            heapq.heapify(self._ranks)
        return True

    async def clear(self) -> int:
        count = len(self._kept)
        self._kept.clear()
        self._ranks.clear()
        self._used = 0
        return count

    def resize(self, limit_bytes: int) -> None:
        """A new bound, obeyed at once."""
        self._limit = limit_bytes
        self._shrink()

    def _shrink(self) -> None:
        while self._used > self._limit:
            ranked, _, kept = heapq.heappop(self._ranks)
            if kept.entry is None:
                continue
            rank = kept.rank()
            if rank > ranked:  # it was used since
                self._push(kept, rank)
                continue
            self._age = rank
            self._remember(kept)
            self._forget(kept.key)
            self._evicted += 1

    def _remember(self, kept: _Ranked) -> None:
        unknown = min(kept.uses, _MOST_USES) - self._popularity.count(kept.key)
        if unknown > 0:
            self._popularity.add(kept.key, unknown)

    def stats(self) -> StoreStats:
        return StoreStats("memory", len(self._kept), self._used, self._limit, self._evicted)
