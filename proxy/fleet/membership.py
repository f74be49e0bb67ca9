"""This replica's place in its fleet: the link to Redis, and what is shared over it.

Rules: a fleet is whoever has the same Redis and prefix. Nothing here keeps a proxy from starting or answering: a start
waits a moment for Redis, so that the first calls are the fleet's already, and goes on without. Answers are taken from
Redis once the rules of invalidation are known here.
"""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Final

import structlog

from config.caching import Cache
from proxy.fleet.errors import RedisUnavailableError
from proxy.fleet.key import agreed_key, keep_key
from proxy.fleet.link import LinkSettings, RedisLink
from proxy.fleet.rules import FleetRules
from proxy.stores.rules import Rule
from proxy.tasks import TaskSet

log = structlog.get_logger(__name__)

_START_S: Final = 1.5


class Membership:
    """`hear`: takes the fleet's rules of invalidation. `key`: of all digests of this process; `on_key` takes the
    fleet's when it is another one. `key_path`: where that is kept; None when a file gives it, and it is not to be
    agreed on."""

    def __init__(
        self,
        cache: Cache,
        hear: Callable[[Rule], None],
        tasks: TaskSet,
        *,
        key: bytes,
        key_path: Path | None,
        on_key: Callable[[bytes], None],
    ) -> None:
        self.link = RedisLink(_link_settings(cache))
        self.rules = FleetRules(self.link, cache.redis.prefix, hear, tasks)
        self._prefix = cache.redis.prefix
        self._key = key
        self._key_path = key_path
        self._on_key = on_key
        self._agreed_after: int | None = None  # the link's falls when the key was agreed on; None: it was not yet

    async def start(self) -> None:
        """Begin to connect; return when the fleet's key and rules are known, or after a moment."""
        self.link.start()
        self.rules.start()
        try:
            async with asyncio.timeout(_START_S):
                await self.rules.current.wait()
        except TimeoutError:
            log.warning("redis_not_reached", action="started without it; it is taken in when it is there")
        await self.tend()

    async def tend(self) -> None:
        """Called about once a second: agree on the key whenever Redis may be another, and catch up on rules."""
        falls = self.link.falls
        if falls != self._agreed_after and self.link.is_up and await self._agree():
            self._agreed_after = falls
        await self.rules.catch_up()

    async def stop(self) -> None:
        """Leave."""
        await self.rules.stop()
        await self.link.close()

    async def _agree(self) -> bool:
        if self._key_path is None:
            return True
        try:
            key = await agreed_key(self.link, self._prefix, self._key)
        except RedisUnavailableError:
            return False
        try:
            keep_key(self._key_path, key)
        except OSError as failure:
            log.warning("fleet_key_not_kept", path=str(self._key_path), reason=failure.strerror)
        if key != self._key:
            self._key = key
            self._on_key(key)
        return True


def _link_settings(cache: Cache) -> LinkSettings:
    redis = cache.redis
    assert redis.url is not None
    file = redis.password_file
    return LinkSettings(
        url=redis.url,
        username=redis.username,
        read_password=None if file is None else lambda: file.read_text("utf-8").strip(),
        ca=redis.ca,
        certificate=redis.certificate,
        key=redis.key,
        read_timeout_s=redis.read_timeout_s,
        write_timeout_s=redis.write_timeout_s,
        connect_timeout_s=redis.connect_timeout_s,
        max_connections=redis.max_connections,
    )
