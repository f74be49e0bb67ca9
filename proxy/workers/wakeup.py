"""Signals of the supervisor, as something its one loop can wait for.

Rule: a signal leaves its number in a socket, whatever the process is doing; nothing else happens in its handler.
"""

import contextlib
import signal
import socket
from types import FrameType
from typing import Final

HANDLED: Final = frozenset({signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD})


def _noted(_number: int, _frame: FrameType | None) -> None:
    """The number is in the socket already."""


class Wakeup:
    """The signals since it was asked last. Must be made, and closed, on the main thread."""

    def __init__(self) -> None:
        self._ours, self._python = socket.socketpair()
        for end in (self._ours, self._python):
            end.setblocking(False)
        self._fd_before = signal.set_wakeup_fd(self._python.fileno(), warn_on_full_buffer=False)
        self._before = {number: signal.signal(number, _noted) for number in HANDLED}

    def fileno(self) -> int:
        """Readable when a signal has come."""
        return self._ours.fileno()

    def signals(self) -> frozenset[int]:
        """Those that have come."""
        with contextlib.suppress(BlockingIOError):
            return frozenset(self._ours.recv(4096))
        return frozenset()

    def forget(self) -> None:
        """In a worker: close it. What a terminal or an init system sends to all of the group is not for workers."""
        signal.set_wakeup_fd(-1)
        for number in HANDLED:
            signal.signal(number, signal.SIG_DFL if number == signal.SIGCHLD else signal.SIG_IGN)
        self._ours.close()
        self._python.close()

    def close(self) -> None:
        """Everything as it was before."""
        for number, handler in self._before.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(self._fd_before)
        self._ours.close()
        self._python.close()
