"""Replaying a flight to the replicas that follow it: into a stream, for what they have missed, and on a channel.

Rules: it runs for as long as somebody follows, and nothing of it before. The stream and what it is thought to hold are
compared with each message; when they differ (Redis has lost it, or we do not know whether it heard us) everything is
said again from the head: positions make that harmless. While Redis is away the flight is held, within a patience. When
nothing is to be said, a sign of life is. Past `limits.max_answer_bytes` the stream keeps what a lagging follower may
need, and no more.
"""

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from proxy.exchange.flight import Flight
from proxy.fleet.claims import Names
from proxy.fleet.errors import RedisRefusedError, RedisUnavailableError
from proxy.fleet.feed import Feed
from proxy.fleet.link import RedisLink, Script
from proxy.stores.sealing.sealer import Sealer
from proxy.tasks import TaskSet

PATIENCE_S: Final = 30.0  # with a Redis that is away
_STREAM_MS: Final = 60_000  # after its last message
_PAUSE_S: Final = 0.1
_MOST_LOSSES: Final = 20
MAX_FOLLOWERS: Final = 1_024  # replicas

# Several in one message: a sign of life is not kept in the stream.
_PUSH: Final = Script("""
local stream, message, id = KEYS[1], ARGV[1], ''
if redis.call('XLEN', stream) ~= tonumber(ARGV[3]) then return false end
if ARGV[5] ~= '' then redis.call('XTRIM', stream, 'MINID', ARGV[5]) end
if ARGV[2] == 'kept' then id = redis.call('XADD', stream, '*', 'm', message) end
redis.call('PEXPIRE', stream, ARGV[4])
redis.call('PUBLISH', ARGV[6], id .. '\\n' .. message)
return id
""")


@dataclass(frozen=True, slots=True)
class Pace:
    """How often is said that one is there, and how long one is believed to be."""

    beat_s: float
    presence_s: float

    @classmethod
    def of(cls, lease_s: float) -> "Pace":
        """A follower says twice a lease that it is there; a leader says something four times."""
        return cls(beat_s=lease_s / 4, presence_s=2 * lease_s)


class Replay:
    """Of one flight. `calm_since` is the moment since which nothing was amiss with Redis: who could not be heard is not
    gone. `on_trouble` is told when something is."""

    def __init__(
        self,
        flight: Flight,
        names: Names,
        link: RedisLink,
        pace: Pace,
        *,
        sealer: Sealer,
        lag_bytes: int,
        calm_since: Callable[[], float],
        on_trouble: Callable[[], None],
    ) -> None:
        self._flight = flight
        self._names = names
        self._link = link
        self._pace = pace
        self._sealer = sealer
        self._lag_bytes = lag_bytes
        self._calm_since = calm_since
        self._on_trouble = on_trouble
        self._tasks = TaskSet()
        self._reached_at = time.monotonic()
        self._has_told = False
        self._has_told_all = False
        self._is_ending = False
        self._losses = 0
        self.followers: dict[str, float] = {}  # when they last said that they are there

    def end(self) -> None:
        """Wait for no follower that has been told everything."""
        self._is_ending = True

    def is_followed(self) -> bool:
        """Somebody is there who has not been told everything, or may have to be told again."""
        if self._is_ending and self._has_told_all:
            return False
        latest = max(self.followers.values(), default=0.0)
        return bool(self.followers) and time.monotonic() < max(latest, self._calm_since()) + self._pace.presence_s

    async def run(self) -> bool:
        """Return when nobody follows any more (True), or when it cannot go on (False)."""
        feed, feeding = self._feed()
        try:
            while True:
                try:
                    if await self._say_all(feed):
                        return True
                    self._losses += 1
                except RedisUnavailableError as failure:
                    self._on_trouble()
                    if isinstance(failure, RedisRefusedError) and not self._has_told:
                        return False
                    if not await self._until_reached():
                        return False
                if self._losses > _MOST_LOSSES or not self._flight.is_replayable:
                    return False
                former = feeding
                feed, feeding = self._feed()  # before the other leaves: the last reader ends a flight
                await _ended(former)
        finally:
            await _ended(feeding)
            if not self.followers:  # else it is left for them, and expires
                with contextlib.suppress(RedisUnavailableError):
                    await self._link.delete(self._names.stream)

    def _feed(self) -> tuple[Feed, asyncio.Task[None]]:
        feed = Feed(self._flight)
        return feed, self._tasks.spawn(feed.run(), name="fleet feed")

    async def _say_all(self, feed: Feed) -> bool:
        """False: the stream is not what it was. Raises RedisUnavailableError."""
        ids: deque[tuple[bytes, int]] = deque()
        count, size = 0, 0
        await self._link.delete(self._names.stream)
        while self.is_followed():
            plain, is_kept = await feed.take(self._pace.beat_s)
            message = self._sealer.encrypted(plain, self._names.channel)
            least = b""
            if not self._flight.is_replayable:
                while len(ids) > 1 and size > self._lag_bytes:
                    size -= ids.popleft()[1]
                least = ids[0][0] if ids else b""
            said = (message, b"kept" if is_kept else b"sign", count, _STREAM_MS, least, self._names.channel)
            reply = await self._link.run(_PUSH, (self._names.stream,), said)
            if not isinstance(reply, bytes):
                return False
            self._reached_at = time.monotonic()
            if is_kept:
                self._has_told = True
                self._has_told_all = feed.is_over
                ids.append((reply, len(message)))
                size += len(message)
            count = len(ids)
        return True

    async def _until_reached(self) -> bool:
        """False: Redis was away for too long, or everybody has left meanwhile."""
        while self.is_followed() and time.monotonic() - self._reached_at < PATIENCE_S:
            await asyncio.sleep(_PAUSE_S)
            if self._link.is_up:
                return True
        return False


async def _ended(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.wait((task,))
