"""Hearing channels, on a connection that nobody else uses and that comes back by itself.

Rules: whenever the channels are heard again after they were not, and at the first time, `on_gap` is called: messages
may have been missed. A server that says nothing is asked for a sign of life, and given up without one. In a cluster
any server will do: messages reach them all.
"""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

import structlog

from proxy.fleet.breaker import Breaker
from proxy.fleet.connection import Connection, ErrorReply, Reply, packed
from proxy.fleet.dialing import PING
from proxy.fleet.errors import RedisUnavailableError
from proxy.tasks import TaskSet

log = structlog.get_logger(__name__)

_SILENCE_S: Final = 2.0  # then it is asked, and has as long to answer
_MAX_CHANNELS: Final = 4096


class Hearing:
    """Made by the link. `on_message(channel, message)` and `on_gap()` return at once."""

    def __init__(
        self,
        on_message: Callable[[bytes, bytes], None],
        on_gap: Callable[[], None],
        channels: Sequence[bytes],
        *,
        dial: Callable[[], Awaitable[Connection]],
        on_close: Callable[["Hearing"], None],
        silence_s: float = _SILENCE_S,
    ) -> None:
        self._on_message = on_message
        self._on_gap = on_gap
        self._channels = set(channels)
        self._dial = dial
        self._on_close = on_close
        self._silence_s = silence_s
        self._connection: Connection | None = None
        self._lost: asyncio.Future[str] | None = None
        self._unconfirmed = 0  # channels of a new connection
        self._breaker = Breaker(time.monotonic, random.random)
        self._tasks = TaskSet()

    def start(self) -> None:
        """Begin to connect, in the background."""
        self._tasks.spawn(self._keep(), name="redis hearing")

    @property
    def is_connected(self) -> bool:
        """There is a connection."""
        return self._connection is not None and not self._connection.is_closed

    def renew(self) -> None:
        """On another connection: what this one still has to say may be late."""
        self._end("renewed")

    def add(self, channel: bytes) -> None:
        """Hear this one too. Raises RedisUnavailableError when there are too many."""
        if len(self._channels) >= _MAX_CHANNELS:
            raise RedisUnavailableError("too_many_channels")
        if channel not in self._channels:
            self._channels.add(channel)
            self._say(b"SUBSCRIBE", channel)

    def drop(self, channel: bytes) -> None:
        """Hear this one no more."""
        if channel in self._channels:
            self._channels.discard(channel)
            self._say(b"UNSUBSCRIBE", channel)

    def _say(self, *command: bytes) -> None:
        if self._connection is not None and not self._connection.is_closed:
            self._connection.send(packed(*command))

    async def _keep(self) -> None:
        while True:
            await asyncio.sleep(self._breaker.probe_in_s())
            try:
                connection = await self._dial()
            except RedisUnavailableError:
                self._breaker.probe_failed()
                continue
            try:
                self._breaker.probe_succeeded()
                await self._live(connection)
            finally:
                self._connection = None
                connection.close()
            self._breaker.broke()

    async def _live(self, connection: Connection) -> None:
        """Until it is lost."""
        lost: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._lost, self._connection, self._unconfirmed = lost, connection, len(self._channels)
        connection.listen(self._heard)
        connection.on_lost = self._end
        if connection.is_closed:
            return
        if self._channels:
            self._say(b"SUBSCRIBE", *self._channels)
        else:
            self._on_gap()
        heard_bytes, is_asked = -1, False
        while True:
            await asyncio.wait((lost,), timeout=self._silence_s)
            if lost.done():
                return
            if connection.received_bytes != heard_bytes:
                heard_bytes, is_asked = connection.received_bytes, False
            elif is_asked:
                return
            else:
                connection.send(PING)
                is_asked = True

    def _end(self, reason: str) -> None:
        if self._lost is not None and not self._lost.done():
            self._lost.set_result(reason)

    def _heard(self, reply: Reply) -> None:
        match reply:
            case [b"message", bytes(channel), bytes(message)]:
                self._on_message(channel, message)
            case [b"subscribe", *_]:
                if self._unconfirmed:
                    self._unconfirmed -= 1
                    if not self._unconfirmed:
                        self._breaker.succeeded()
                        self._on_gap()
            case ErrorReply():
                log.warning("redis_hearing_refused", reason=reply.code)
                self._end(reply.code)

    async def close(self) -> None:
        """End it."""
        await self._tasks.cancel()
        self._on_close(self)
