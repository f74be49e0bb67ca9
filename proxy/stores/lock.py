"""A lock between the processes of one machine, which the kernel frees when its holder dies.

Rules: it is held for microseconds, with nothing awaited meanwhile; whoever waits for it has a deadline. It keeps
processes apart, not threads: each process uses it from its event loop's thread alone.
"""

import asyncio
import fcntl
import time

_SPINS = 50  # about as long as somebody holds it
_RETRY_S = 0.0005


class FileLock:
    """One byte of an open file. The file outlives it, and is opened once in each process: closing any other descriptor
    of it would free the lock (fcntl(2))."""

    def __init__(self, descriptor: int, byte: int) -> None:
        self.descriptor = descriptor
        self._byte = byte

    def try_acquire(self) -> bool:
        """Take it, if nobody holds it."""
        try:
            fcntl.lockf(self.descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, self._byte)
        except (BlockingIOError, PermissionError):
            return False
        return True

    def release(self) -> None:
        """Give it back."""
        fcntl.lockf(self.descriptor, fcntl.LOCK_UN, 1, self._byte)

    def _spin(self) -> bool:
        return any(self.try_acquire() for _ in range(_SPINS))

    async def acquire(self, deadline_s: float) -> bool:
        """Take it; False when it was not free in time. Does not wait while it is free."""
        if self._spin():
            return True
        give_up_at = time.monotonic() + deadline_s
        while time.monotonic() < give_up_at:
            await asyncio.sleep(_RETRY_S)
            if self.try_acquire():
                return True
        return False

    def acquire_blocking(self, deadline_s: float) -> bool:
        """The same for a process without an event loop."""
        if self._spin():
            return True
        give_up_at = time.monotonic() + deadline_s
        while time.monotonic() < give_up_at:
            time.sleep(_RETRY_S)
            if self.try_acquire():
                return True
        return False
