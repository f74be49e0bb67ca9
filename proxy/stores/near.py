"""Answers from the shared arena that this worker has opened lately: opening one takes thirty times as long.

Rules: an opened answer is used only while the arena still has its very record, at the position it was opened at, and
positions are never used twice: what was replaced, deleted or cleared by any worker is not used again. Bounded by bytes;
the least recently used goes first.
"""

from collections import OrderedDict
from dataclasses import dataclass

from proxy.stores.base import Entry, size_of


@dataclass(frozen=True, slots=True)
class Opened:
    """An answer, and where it was."""

    entry: Entry
    slot: int
    position: int
    size: int  # bytes, Python's overhead included


class NearEntries:
    """At most `limit_bytes` of them. What is larger than an eighth of that is opened every time."""

    def __init__(self, limit_bytes: int) -> None:
        self._limit = limit_bytes
        self._opened: OrderedDict[bytes, Opened] = OrderedDict()
        self._used = 0

    def get(self, key: bytes) -> Opened | None:
        """What was kept; the caller looks whether the arena still has it."""
        opened = self._opened.get(key)
        if opened is not None:
            self._opened.move_to_end(key)
        return opened

    def keep(self, key: bytes, entry: Entry, slot: int, position: int) -> None:
        """Keep what was opened."""
        if len(entry.body) > self._limit // 8:
            return
        self.forget(key)
        size = size_of(entry, key) + 150  # Opened, its position, and its place
        if size > self._limit // 8:
            return
        self._opened[key] = Opened(entry, slot, position, size)
        self._used += size
        while self._used > self._limit:
            self._used -= self._opened.popitem(last=False)[1].size

    def forget(self, key: bytes) -> None:
        """It is not there any more."""
        if (opened := self._opened.pop(key, None)) is not None:
            self._used -= opened.size
