"""The end of all client connections, in good order: no call is lost that has begun, or that is on its way.

Rules: the listeners are closed before. Whoever is connected is told to make its next calls elsewhere: HTTP/1.1 by the
next head (`Connection: close`), HTTP/2 by GOAWAY. A connection without a call stays open for `drain.idle_s`, because a
call may be on its way on it; one that is answered then is kept until the answer is out. Connections that did not say
yet what they want are waited for as long. What is relayed, and what streams, goes on up to `drain.timeout_s`.

HTTP/2 is told when no call is under way, and after half the time at the latest: Python's h2, and so httpx, takes
nothing more after any GOAWAY, not even the answers that it promises.
"""

import asyncio
import time
from collections.abc import Callable
from typing import Final, Protocol

from config.schema import Drain
from proxy.edge.bridge import Bridge
from proxy.wire.http2 import Http2Server

_TICK_S: Final = 0.1
_HTTP2_TOLD_BY: Final = 0.5  # of the time there is: what a client begins before has as much again


class Sockets[Unclaimed](Protocol):
    """All client connections, whoever has them."""

    @property
    def open_connections(self) -> int:
        """How many there are."""
        ...

    def unclaimed(self) -> list[Unclaimed]:
        """Those of which nobody knows yet what they want."""
        ...

    def close(self, handler: Unclaimed, /) -> None:
        """Close one of these."""
        ...


class Draining[Unclaimed]:
    """See the module."""

    def __init__(
        self, bridge: Bridge, servers: Sockets[Unclaimed], limits: Drain, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._bridge = bridge
        self._servers = servers
        self._idle_s = limits.idle_s
        self._timeout_s = limits.timeout_s
        self._clock = clock
        self._quiet_since: dict[object, float] = {}

    async def run(self, hurry: asyncio.Event) -> int:
        """Until nothing is left, the time is over or there is hurry; returns how many exchanges were cut off."""
        self._bridge.is_draining = True
        began = self._clock()
        while not hurry.is_set() and (now := self._clock()) < began + self._timeout_s:
            self._look(now, is_late=now - began >= self._timeout_s * _HTTP2_TOLD_BY)
            if not self._bridge.tasks and not self._servers.open_connections:
                return 0
            await pause(_TICK_S, hurry)
        left = len(self._bridge.tasks)
        for connection in list(self._bridge.connections):
            connection.close()
        await self._bridge.tasks.cancel()
        return left

    def _look(self, now: float, *, is_late: bool) -> None:
        for connection in list(self._bridge.connections):
            is_quiet = connection.is_quiet
            if is_quiet or is_late or not isinstance(connection.codec, Http2Server):
                connection.wind_down()
            if self._has_been_quiet(connection, now, is_quiet=is_quiet):
                connection.leave()
        for unclaimed in self._servers.unclaimed():
            if self._has_been_quiet(unclaimed, now, is_quiet=True):
                self._servers.close(unclaimed)

    def _has_been_quiet(self, who: object, now: float, *, is_quiet: bool) -> bool:
        """For as long as a call may be on its way."""
        if not is_quiet:
            self._quiet_since.pop(who, None)
            return False
        return now - self._quiet_since.setdefault(who, now) >= self._idle_s


async def pause(seconds: float, hurry: asyncio.Event) -> None:
    """Wait so long, or until there is hurry."""
    try:
        async with asyncio.timeout(seconds):
            await hurry.wait()
    except TimeoutError:
        return
