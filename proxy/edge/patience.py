"""How long one client's connection may keep us waiting: until a deadline, and while it does not read what we write.

Rules: looked at every few seconds, so that a deadline costs an assignment and no timer. A client that takes nothing for
a while is cut off; one that reads slowly is not, however slowly. Nothing is cut off while the origin is thinking: then
there is no deadline, and nothing waits to be read.
"""

import asyncio
import time
from collections.abc import Callable

_TICK_S = 5.0


class Patience:
    """Watches one transport. `on_deadline` is called, at each look, once the deadline has passed."""

    def __init__(
        self,
        transport: asyncio.WriteTransport,
        *,
        stalled_s: float,
        on_deadline: Callable[[], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._transport = transport
        self._stalled_s = stalled_s
        self._on_deadline = on_deadline
        self._clock = clock
        self._deadline = float("inf")
        self._unread = 0
        self._read_at = clock()
        self._timer: asyncio.TimerHandle | None = None

    def expect_within(self, seconds: float) -> None:
        """Something has to happen by then."""
        self._deadline = self._clock() + seconds

    def no_deadline(self) -> None:
        """Nothing is expected of the client."""
        self._deadline = float("inf")

    def start(self) -> None:
        """Begin to look."""
        self._timer = asyncio.get_running_loop().call_later(_TICK_S, self._tick)

    def stop(self) -> None:
        """The connection is gone."""
        if self._timer is not None:
            self._timer.cancel()
        self._on_deadline = _nothing  # a method of the connection: they would keep each other until a collection

    def look(self) -> None:
        """Act on what has passed."""
        now = self._clock()
        unread = self._transport.get_write_buffer_size()
        if not unread or unread < self._unread:
            self._read_at = now
        self._unread = unread
        if now - self._read_at > self._stalled_s:
            self._transport.abort()
        elif now > self._deadline:
            self._on_deadline()

    def _tick(self) -> None:
        self.start()
        self.look()


def _nothing() -> None:
    """What is late now concerns nobody."""
