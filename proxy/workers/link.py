"""The pipes between the supervisor and one worker.

Rules: orders go down (`T`: stop in good order; `H`: at once; `R`: load the settings again), one report comes up (`+`:
ready). The other end's close is the message that it is gone, however it went: so neither needs to watch the other's
process id, and a signal that a terminal or an init system sends to the whole group means nothing to a worker.
"""

import contextlib
import os
from dataclasses import dataclass
from typing import Final

STOP: Final = b"T"
HURRY: Final = b"H"
RELOAD: Final = b"R"
READY: Final = b"+"

_MOST: Final = 4096


@dataclass(frozen=True, slots=True)
class Link:
    """One end: where this process reads, and where it writes. Neither blocks."""

    incoming: int
    outgoing: int

    @classmethod
    def pair(cls) -> "tuple[Link, Link]":
        """The supervisor's end and the worker's. Raises OSError."""
        orders, order = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        reports, report = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        return cls(reports, order), cls(orders, report)

    def send(self, message: bytes) -> None:
        """Say it. Nothing happens when the other end is gone, which is noticed elsewhere."""
        with contextlib.suppress(BrokenPipeError, BlockingIOError):  # full: it does not listen, and is killed for it
            os.write(self.outgoing, message)

    def receive(self) -> bytes | None:
        """What was said since, or empty; None when the other end is gone."""
        try:
            return os.read(self.incoming, _MOST) or None
        except BlockingIOError:
            return b""

    def close(self) -> None:
        """Close both pipes on this side."""
        os.close(self.incoming)
        os.close(self.outgoing)
