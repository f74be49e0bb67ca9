"""A few numbers that the supervisor and all workers see: who is there, what it has, how often places were filled again,
and what became of new settings.

Rules: anonymous memory, made before the fork, so that it goes with the last of them; a number has one writer at a
time, is eight bytes, aligned, and is read without a lock. What counts connections on their way is for balance only.
"""

import mmap
from typing import Final

_WORD: Final = 8
_PID, _RESTARTS, _READY, _CONNECTIONS = range(4)
_FIELDS: Final = 4
_APPLIED, _REFUSED = range(2)  # changes of settings, by what became of them
_OWN: Final = 2  # numbers of the supervisor's


class Board:
    """See the module."""

    def __init__(self, count: int, supervisor: int) -> None:
        self.count = count
        self.supervisor = supervisor  # its process id
        self._pairs = count * _FIELDS
        self._own = self._pairs + 2 * count * count
        self._memory = mmap.mmap(-1, (self._own + _OWN) * _WORD)
        self._words = memoryview(self._memory).cast("Q")

    def began(self, index: int, pid: int) -> None:
        """A worker was forked for this place."""
        self._words[index * _FIELDS + _READY] = 0
        self._words[index * _FIELDS + _CONNECTIONS] = 0
        self._words[index * _FIELDS + _PID] = pid

    def became_ready(self, index: int) -> None:
        """It takes connections."""
        self._words[index * _FIELDS + _READY] = 1

    def ended(self, index: int) -> None:
        """It is gone."""
        self._words[index * _FIELDS + _READY] = 0
        self._words[index * _FIELDS + _PID] = 0

    def was_replaced(self, index: int) -> None:
        """Count one restart."""
        self._words[index * _FIELDS + _RESTARTS] += 1

    def pid(self, index: int) -> int:
        """The process in this place; 0 while there is none."""
        return self._words[index * _FIELDS + _PID]

    def is_ready(self, index: int) -> bool:
        """Does it take connections?"""
        return bool(self._words[index * _FIELDS + _READY])

    def restarts(self, index: int) -> int:
        """How often this place was filled again."""
        return self._words[index * _FIELDS + _RESTARTS]

    def settings_changed(self, *, applied: bool) -> None:
        """Count a change of settings that was applied or refused."""
        self._words[self._own + (_APPLIED if applied else _REFUSED)] += 1

    def changes_of_settings(self) -> tuple[int, int]:
        """How many were applied, and how many refused."""
        return self._words[self._own + _APPLIED], self._words[self._own + _REFUSED]

    # -- written by the workers

    def set_connections(self, index: int, count: int) -> None:
        """How many this worker serves."""
        self._words[index * _FIELDS + _CONNECTIONS] = count

    def connections(self, index: int) -> int:
        """How many it serves."""
        return self._words[index * _FIELDS + _CONNECTIONS]

    def sent(self, sender: int, to: int) -> None:
        """A connection is on its way."""
        self._words[self._pair(sender, to)] += 1

    def taken(self, sender: int, to: int) -> None:
        """It has come."""
        self._words[self._pair(sender, to) + 1] += 1

    def under_way(self, to: int) -> int:
        """How many are on their way to this worker."""
        pairs = [self._pair(sender, to) for sender in range(self.count)]
        return max(0, sum(self._words[pair] - self._words[pair + 1] for pair in pairs))

    def _pair(self, sender: int, to: int) -> int:
        return self._pairs + 2 * (sender * self.count + to)

    def close(self) -> None:
        """Give the memory back. Others keep theirs."""
        self._words.release()
        self._memory.close()
