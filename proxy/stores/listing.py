"""Looking through what tiers keep, in the order of the keys: for operators, exports and checks.

Rules: it changes nothing: no entry counts as read, none is promoted. A page is bounded in entries and bytes, and the
event loop is held for a few milliseconds at most at a time. What comes or goes meanwhile may be seen or not.
"""

import asyncio
import heapq
from collections import deque
from collections.abc import AsyncIterator, Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Protocol

from proxy.stores.base import Entry

PAGE_ENTRIES: Final = 2_048
PAGE_BYTES: Final = 8_388_608
_KEYS_AT_ONCE: Final = 20_000  # looked at without a pause: about two milliseconds


class Flaw(StrEnum):
    """Why an entry cannot be opened."""

    BROKEN = "broken"  # not what was written
    LOCKED = "locked"  # encrypted otherwise than the settings say, or with a key or a dictionary that is not here


@dataclass(frozen=True, slots=True)
class Kept:
    """What a tier has under a key. `size`: what it takes there, in bytes."""

    key: bytes
    size: int
    entry: Entry | None
    flaw: Flaw | None = None


class Listing(Protocol):
    """A tier that can be looked through."""

    async def entries(self, after: bytes, limit: int) -> list[Kept]:
        """What follows this key in order: at most `limit` and about PAGE_BYTES; none at the end. Raises
        StoreUnavailableError."""
        ...


@dataclass(frozen=True, slots=True)
class Found:
    """A key, and what each tier that has it keeps, the fastest first."""

    key: bytes
    kept: Mapping[str, Kept]


async def first_keys(keys: Iterable[bytes], after: bytes, limit: int) -> list[bytes]:
    """The lowest keys above `after`, in order, of keys in any order."""
    lowest: list[bytes] = []
    part: list[bytes] = []
    for looked_at, key in enumerate(keys, 1):
        if key > after:
            part.append(key)
        if looked_at % _KEYS_AT_ONCE == 0:
            lowest, part = heapq.nsmallest(limit, [*lowest, *part]), []
            await asyncio.sleep(0)
    return heapq.nsmallest(limit, [*lowest, *part])


async def walk(tiers: Mapping[str, Listing], after: bytes = b"") -> AsyncIterator[Found]:
    """Every key above `after` once, in order. Raises StoreUnavailableError."""
    pages = {name: _Pages(listing, after) for name, listing in tiers.items()}
    while True:
        heads = {name: head for name, each in pages.items() if (head := await each.head()) is not None}
        if not heads:
            return
        key = min(head.key for head in heads.values())
        kept = {name: head for name, head in heads.items() if head.key == key}
        for name in kept:
            pages[name].pop()
        yield Found(key, kept)


class _Pages:
    """One tier, page by page."""

    def __init__(self, listing: Listing, after: bytes) -> None:
        self._listing = listing
        self._after = after
        self._page: deque[Kept] = deque()
        self._is_over = False

    async def head(self) -> Kept | None:
        if not self._page and not self._is_over:
            page = await self._listing.entries(self._after, PAGE_ENTRIES)
            self._page.extend(page)
            self._is_over = not page
            if page:
                self._after = page[-1].key
        return self._page[0] if self._page else None

    def pop(self) -> None:
        self._page.popleft()


def before(prefix: str) -> bytes:
    """The key just below all those whose hexadecimal form begins so."""
    lowest = int(prefix.ljust(64, "0"), 16)
    return (lowest - 1).to_bytes(32) if lowest else b""
