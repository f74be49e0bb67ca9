"""When a worker that ended is replaced.

Rules: one that had worked for a while is replaced at once; one that ended soon after its start waits, twice as long
each time, so that what fails at every start burns no processor.
"""

from dataclasses import dataclass
from typing import Final

STABLE_S: Final = 10.0
FIRST_S: Final = 0.05
LAST_S: Final = 10.0


@dataclass(slots=True)
class Backoff:
    """Of one place."""

    _quick_ends: int = 0

    def delay_s(self, lived_s: float) -> float:
        """How long to wait before the next start, after a worker that lived this long."""
        if lived_s >= STABLE_S:
            self._quick_ends = 0
            return 0.0
        delay = min(LAST_S, FIRST_S * 2.0 ** min(self._quick_ends, 30))
        self._quick_ends += 1
        return delay
