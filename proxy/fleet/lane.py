"""One lane to a server: a connection, its breaker, and the task that brings it back.

Rules: a call never waits for a connection to be made; while there is none it fails at once. A deadline that passes
without a single byte from the server closes the connection and opens the breaker, for everyone. If bytes came the
server is only slow, which counts as one failure, and the late answer is thrown away. What is made in the background
ends with `close`.
"""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from proxy.fleet.breaker import Breaker
from proxy.fleet.connection import LOST, Connection, ErrorReply, Reply
from proxy.fleet.dialing import PING, is_refused_right
from proxy.fleet.errors import RedisRefusedError, RedisUnavailableError
from proxy.tasks import TaskSet

_GRACE_S: Final = 0.001  # past a deadline: what arrived while the loop was busy is read first
_EXPIRED: Final = ErrorReply("timeout")
_REDIRECTS: Final = frozenset({"MOVED", "ASK"})
# The server cannot serve anybody now, or not us.
AWAY: Final = frozenset({"LOADING", "MASTERDOWN", "CLUSTERDOWN", "BUSY", "NOAUTH", "WRONGPASS"})
_NO_WRITES: Final = frozenset({"OOM", "READONLY", "MISCONF", "NOREPLICAS"})


@dataclass(slots=True)
class Counts:
    """What happened on all lanes of a link, since its start."""

    calls: int = 0
    timeouts: int = 0
    failures: int = 0  # timeouts included
    turned_away: int = 0  # by an open breaker, without being sent
    refused: int = 0
    redirected: int = 0
    connects: int = 0
    falls: int = 0  # connections that were lost or given up


class Lane:
    """`dial` makes its connection. `on_change`: told with the reason when it falls and when a probe fails, with None
    when it is back; after calls had failed that is when one succeeds. `is_away_on`: codes that end the connection.
    `holds_back_writes`: what a full or read-only server refuses opens the breaker, so that no more is sent in vain."""

    def __init__(
        self,
        dial: Callable[[], Awaitable[Connection]],
        counts: Counts,
        on_change: Callable[[str | None], None],
        *,
        holds_back_writes: bool,
        is_away_on: frozenset[str] = AWAY,
        probe_timeout_s: float,
    ) -> None:
        self._dial = dial
        self._counts = counts
        self._on_change = on_change
        self._opens_on = _NO_WRITES if holds_back_writes else frozenset[str]()
        self._is_away_on = is_away_on
        self._probe_timeout_s = probe_timeout_s
        self._loop = asyncio.get_running_loop()
        self._breaker = Breaker(time.monotonic, random.random)
        self._connection: Connection | None = None
        self._fallen = asyncio.Event()
        self._reason = "not_connected"
        self._is_doubted = False  # it answered probes before, and then no calls
        self._tasks = TaskSet()
        self._tasks.spawn(self._keep(), name="redis lane")

    @property
    def is_up(self) -> bool:
        """Calls are made."""
        return not self._breaker.is_open

    @property
    def is_connected(self) -> bool:
        """There is a connection, whatever the breaker says."""
        return self._connection is not None and not self._connection.is_closed

    # -- calls

    async def call(self, command: bytes, deadline_s: float, before: bytes = b"") -> Reply:
        """The answer to a packed command; redirects are answers. `before` is a command that is sent just ahead of it.
        Raises RedisUnavailableError."""
        counts, connection = self._counts, self._connection
        if connection is None or self._breaker.is_open:
            counts.turned_away += 1
            raise RedisUnavailableError(self._reason)
        counts.calls += 1
        if before:
            connection.ask(before)
        waiter = connection.ask(command)
        timer = self._loop.call_later(deadline_s, self._late, waiter, connection, connection.received_bytes)
        try:
            reply = await waiter
        finally:
            timer.cancel()
        if type(reply) is ErrorReply:
            self._judge(reply)
        elif self._breaker.is_strained:
            self._proved()
        return reply

    def _proved(self) -> None:
        self._breaker.succeeded()
        if self._is_doubted and self.is_up:
            self._is_doubted = False
            self._on_change(None)

    def _judge(self, reply: ErrorReply) -> None:
        """Returns for redirects only."""
        code = reply.code
        if code in _REDIRECTS:
            return
        if reply is LOST or reply is _EXPIRED:
            self._counts.failures += 1
            raise RedisUnavailableError(code)
        if code in self._is_away_on:
            self._counts.failures += 1
            self.fall(code)
            raise RedisUnavailableError(code)
        self._counts.refused += 1
        if code in self._opens_on:
            if self._breaker.broke():
                self._opened(code)
            raise RedisUnavailableError(code)
        raise RedisRefusedError(code)

    def _late(self, waiter: asyncio.Future[Reply], connection: Connection, received_bytes: int) -> None:
        if not waiter.done():
            self._loop.call_later(_GRACE_S, self._expire, waiter, connection, received_bytes)

    def _expire(self, waiter: asyncio.Future[Reply], connection: Connection, received_bytes: int) -> None:
        if waiter.done():
            return
        self._counts.timeouts += 1
        waiter.set_result(_EXPIRED)
        if connection is not self._connection:
            return
        if connection.received_bytes == received_bytes:
            self.fall("timeout")
        elif self._breaker.failed():
            self._opened("timeout")

    # -- falling and coming back

    def fall(self, reason: str) -> None:
        """Give the connection up; another one is made in the background."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()
        self._counts.falls += 1
        self._breaker.broke()
        self._opened(reason)

    def _opened(self, reason: str) -> None:
        self._reason = reason
        self._is_doubted = reason == "timeout" or reason in _NO_WRITES
        self._fallen.set()
        self._on_change(reason)

    async def _keep(self) -> None:
        while True:
            await asyncio.sleep(self._breaker.probe_in_s())
            try:
                await self._probe()
            except RedisUnavailableError as failure:
                self._breaker.probe_failed()
                self._reason = failure.reason
                self._on_change(failure.reason)
                continue
            self._fallen.clear()
            self._breaker.probe_succeeded()
            if not self._is_doubted:
                self._on_change(None)
            await self._fallen.wait()

    async def _probe(self) -> None:
        connection = self._connection
        if connection is None or connection.is_closed:
            connection = await self._dial()
            self._counts.connects += 1
            if connection.is_closed:
                raise RedisUnavailableError("connection_lost")
            connection.on_lost = self.fall
            self._connection = connection
            return
        waiter = connection.ask(PING)
        await asyncio.wait((waiter,), timeout=self._probe_timeout_s)
        reply = waiter.result() if waiter.done() else _EXPIRED
        if isinstance(reply, ErrorReply) and not is_refused_right(reply):
            self._connection = None
            connection.close()
            raise RedisUnavailableError(reply.code)

    async def close(self) -> None:
        """End it; who still waits is told so."""
        await self._tasks.cancel()
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()
        self._breaker.broke()
        self._reason = "closed"
