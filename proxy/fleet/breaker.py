"""When calls are let through, and when it is looked whether they may be again. Pure: the clock is an argument.

    closed ──failures in a row, or one that says enough──▶ open ──a probe succeeds──▶ trial ──a call succeeds──▶ closed
                                                            ▲──────one failure───────────┘

Rules: nobody waits for an open breaker. The pause before a probe doubles from one opening to the next, until a real
call has succeeded: a server that answers probes and nothing else is asked less and less often.
"""

from collections.abc import Callable
from enum import Enum, auto
from typing import Final

_FAILURES: Final = 3
_FIRST_PAUSE_S: Final = 0.1
_LONGEST_PAUSE_S: Final = 5.0


class _State(Enum):
    CLOSED = auto()
    OPEN = auto()
    TRIAL = auto()


class Breaker:
    """Open at first: nothing is known yet, and the first probe is due at once. `chance` gives numbers from 0 to 1."""

    def __init__(self, clock: Callable[[], float], chance: Callable[[], float], failures: int = _FAILURES) -> None:
        self._clock = clock
        self._chance = chance
        self._allowed = failures
        self._state = _State.OPEN
        self._failures = 0
        self._pause_s = _FIRST_PAUSE_S
        self._probe_at = clock()
        self.is_strained = False  # a success would change something

    @property
    def is_open(self) -> bool:
        """Calls fail without being made."""
        return self._state is _State.OPEN

    def succeeded(self) -> None:
        """A call was answered."""
        if self._state is not _State.OPEN:
            self._state = _State.CLOSED
            self._failures = 0
            self._pause_s = _FIRST_PAUSE_S
            self.is_strained = False

    def failed(self) -> bool:
        """A call failed; True if that opened it."""
        self._failures += 1
        self.is_strained = True
        if self._state is _State.TRIAL or self._failures >= self._allowed:
            return self.broke()
        return False

    def broke(self) -> bool:
        """A failure that leaves no doubt; True if it was not open yet."""
        if self._state is _State.OPEN:
            return False
        self._open()
        return True

    def probe_in_s(self) -> float:
        """How long until the next probe."""
        return max(0.0, self._probe_at - self._clock())

    def probe_failed(self) -> None:
        """It stays open."""
        self._open()

    def probe_succeeded(self) -> None:
        """Calls may try."""
        self._state = _State.TRIAL
        self.is_strained = True

    def _open(self) -> None:
        self._state = _State.OPEN
        self._failures = 0
        # Between half of the pause and all of it, so that a fleet does not come back in one moment.
        self._probe_at = self._clock() + self._pause_s * (0.5 + 0.5 * self._chance())
        self._pause_s = min(2 * self._pause_s, _LONGEST_PAUSE_S)
