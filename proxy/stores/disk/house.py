"""Housekeeping in the disk tier's file: what is too much or too old goes, and what other processes wrote is noticed.

Rules: in small steps, each a transaction of its own, so that orders and other processes have their turns; `has_more`
says that there is more to do at once. Every process does it: whoever comes second finds little.
"""

from collections import deque
from collections.abc import Callable
from typing import Final

from proxy.stores.disk import rules as disk_rules
from proxy.stores.disk.file import DiskFile
from proxy.stores.rules import Rule

EXPIRE_EVERY_S: Final = 60.0
TOUCH_EVERY_S: Final = 30.0
TOUCHES: Final = 1_024  # written sooner when there are as many
_STEP_KEYS: Final = 1_000


class DiskHouse:
    """For one file at a time. Everything raises DiskFault."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self.has_more = False
        self.has_changed = False  # since the last look: the totals are other ones
        self._expire_at = self._touch_at = 0.0
        self._changes = self._seen = self._rules_seen = 0

    def begin(self, file: DiskFile) -> None:
        """There is a file. Its keys are read by others, its rules by `rules`."""
        now = self._clock()
        self.has_more = False
        self._expire_at, self._touch_at = now + EXPIRE_EVERY_S, now + TOUCH_EVERY_S
        self._changes = file.changes()
        self._seen, self._rules_seen = file.newest(), 0

    def keep(self, file: DiskFile, limit_bytes: int, touched: deque[bytes]) -> int:
        """Keep it within its bounds. Returns how many entries were evicted."""
        now = self._clock()
        self.has_changed = self.has_more = False
        is_over = file.used_bytes() > limit_bytes
        if touched and (is_over or len(touched) >= TOUCHES or now >= self._touch_at):
            self._touch_at = now + TOUCH_EVERY_S
            keys = [touched.popleft() for _ in range(len(touched))]
            with file.transaction():
                file.touch(keys, int(now))
        evicted = file.evict(limit_bytes) if is_over else 0
        expired = 0
        if now >= self._expire_at:
            expired = file.expire(int(now))
            self.has_more = expired > 0
            if not expired:
                self._expire_at = now + EXPIRE_EVERY_S
        self.has_more = file.shrink(limit_bytes) or self.has_more
        self.has_changed = evicted > 0 or expired > 0
        return evicted

    def rules(self, file: DiskFile) -> list[Rule]:
        """Those that are new since the last time."""
        rules, self._rules_seen = disk_rules.load(file, self._rules_seen)
        return rules

    def elsewhere(self, file: DiskFile) -> tuple[list[bytes], list[Rule]]:
        """Keys and rules that other processes wrote since the last time; some of them may be our own."""
        newest = file.newest()  # before the look at `changes`: what comes in between is seen next time
        changes = file.changes()
        if changes == self._changes:
            self._seen = newest
            return [], []
        self.has_changed = True
        rules = self.rules(file)
        found = file.select("SELECT seq, key FROM entries WHERE seq > ? ORDER BY seq LIMIT ?", (self._seen, _STEP_KEYS))
        keys: list[bytes] = []
        for seq, key in found:
            assert isinstance(seq, int)
            assert isinstance(key, bytes)
            self._seen = seq
            keys.append(key)
        if len(found) < _STEP_KEYS:
            self._changes = changes
        else:
            self.has_more = True
        return keys, rules
