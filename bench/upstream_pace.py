"""Streams in lock-step: with an interval of 0, each event after the first goes when a client says so.

Rules: a byte on the pace port lets one event go, of the stream that has waited longest; a byte for which nothing waits
is forgotten, so whoever sends one must have read the event before it.
"""

import asyncio
from collections import deque
from collections.abc import Callable


class Pace:
    """The events that wait for a client's word."""

    def __init__(self) -> None:
        self._waiting: deque[Callable[[], None]] = deque()

    def wait(self, step: Callable[[], None]) -> None:
        """Call `step` at the next word."""
        self._waiting.append(step)

    def go(self) -> None:
        """Let one go."""
        if self._waiting:
            self._waiting.popleft()()


class PaceControl(asyncio.Protocol):
    """A client's connection to the pace port."""

    def __init__(self, pace: Pace) -> None:
        self._pace = pace

    def data_received(self, data: bytes) -> None:
        for _ in data:
            self._pace.go()
