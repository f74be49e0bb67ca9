"""Calls of others that could not be joined: counted, and told without a flood.

Rules: whoever leads and dies takes many flights with it at once, which is one piece of news: lines of the log come once
a second at most, each with what was counted since the last.
"""

import asyncio
from typing import Final

import structlog

log = structlog.get_logger(__name__)

_PAUSE_S: Final = 1.0


class LostLeaders:
    """Counts flights that could not be followed, because whoever led them was gone or refused. `event`: what the log
    calls it."""

    def __init__(self, event: str, pause_s: float = _PAUSE_S) -> None:
        self._event = event
        self._pause_s = pause_s
        self._unsaid = 0
        self._timer: asyncio.TimerHandle | None = None
        self.count = 0

    def add(self) -> None:
        """One more. It is said when it is known whether it is the only one."""
        self.count += 1
        self._unsaid += 1
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(self._pause_s, self.say)

    def say(self) -> None:
        """Say what has not been said yet."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._unsaid:
            log.info(self._event, flights=self._unsaid)
            self._unsaid = 0
