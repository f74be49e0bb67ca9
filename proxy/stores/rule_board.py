"""Rules of invalidation in memory that all workers of one machine share: what one of them hears, all obey at once.

    state (a page of 64-bit words: round, length) | rules, a line of JSON each

Rules: made before the workers are forked. Writers take turns under a lock that the kernel frees when its holder dies;
readers look at two words, and read what was added when these differ from what they saw last. When it is full, all of
it becomes one rule that covers everything so far, in a new round: too much is forgotten, never too little. A writer
that dies before it has set the length has written nothing.
"""

import mmap
import os
import weakref
from typing import Final

import orjson

from proxy.stores.lock import FileLock
from proxy.stores.rules import Kind, Rule, Rules

_ROUND: Final = 0
_LENGTH: Final = 1
_STATE_BYTES: Final = 4096
_ROOM: Final = 262_144
_DEADLINE_S: Final = 1.0


class RuleBoard:
    """See the module. One for all workers."""

    def __init__(self, room: int = _ROOM) -> None:
        descriptor = os.memfd_create("skinflint-rules")
        weakref.finalize(self, os.close, descriptor)
        os.ftruncate(descriptor, _STATE_BYTES + room)
        whole = memoryview(mmap.mmap(descriptor, _STATE_BYTES + room))
        self._state = whole[:_STATE_BYTES].cast("Q")
        self._lines = whole[_STATE_BYTES:]
        self._lock = FileLock(descriptor, 0)

    def seen(self) -> tuple[int, int]:
        """What there is to read: it differs whenever something was added."""
        return self._state[_ROUND], self._state[_LENGTH]

    def since(self, seen: tuple[int, int]) -> list[Rule]:
        """The rules that were added after that; all of them in a new round."""
        now = self.seen()
        start = seen[1] if seen[0] == now[0] else 0
        return [read(line) for line in bytes(self._lines[start : now[1]]).splitlines()]

    def add(self, rule: Rule) -> None:
        """For all workers. Raises TimeoutError when the others leave no turn for a second."""
        if not self._lock.acquire_blocking(_DEADLINE_S):
            raise TimeoutError("the rules shared by all workers are busy")
        try:
            line = written(rule)
            length = self._state[_LENGTH]
            if length + len(line) > len(self._lines):
                highest = max(each.stamp for each in (rule, *self.since((self._state[_ROUND], 0))))
                line, length = written(Rule(Kind.ALL, "", highest)), 0
                # In this order: who reads in between finds a round without rules, and reads again.
                self._state[_LENGTH] = 0
                self._state[_ROUND] += 1
            self._lines[length : length + len(line)] = line
            self._state[_LENGTH] = length + len(line)
        finally:
            self._lock.release()


class SharedRules(Rules):
    """One worker's view of the board: its own rules, and those that any other worker has heard of."""

    def __init__(self, board: RuleBoard) -> None:
        super().__init__()
        self._board = board
        self._seen = (0, 0)
        self._hear()

    def add(self, rule: Rule) -> None:
        """Obey it from now on, in all workers. Raises TimeoutError."""
        self._hear()
        if not self.knows(rule):
            self._board.add(rule)
            self._hear()

    @property
    def stamp(self) -> int:
        """The highest that any worker knows."""
        if self._board.seen() != self._seen:
            self._hear()
        return self._stamp

    def _hear(self) -> None:
        seen = self._board.seen()
        for rule in self._board.since(self._seen):
            super().add(rule)
        self._seen = seen


def written(rule: Rule) -> bytes:
    """A line."""
    return orjson.dumps([rule.kind, rule.value, rule.stamp]) + b"\n"


def read(line: bytes) -> Rule:
    """A line's rule. Raises ValueError."""
    kind, value, stamp = orjson.loads(line)
    return Rule(Kind(kind), value, stamp)
