"""The tier that replicas share: sealed entries in Redis, each under its fingerprint.

Rules: a key is `<prefix>:e:<fingerprint>`, and the fingerprint is a keyed digest, so keys reveal nothing. Redis forgets
an entry `grace_s` after its time to live. Whatever goes wrong is StoreUnavailableError, within the link's deadlines.
What it holds is not known here: figures are this process's own counts.
"""

import asyncio
import time
from collections.abc import Callable
from typing import Final, Protocol

import structlog

from proxy.fleet.connection import Argument, Reply
from proxy.fleet.errors import RedisRefusedError, RedisUnavailableError
from proxy.fleet.link import Ask, RedisLink
from proxy.stores import envelope
from proxy.stores.base import UNKNOWN, Entry, StoreStats, StoreUnavailableError

log = structlog.get_logger(__name__)

_LEAST_TTL_S: Final = 1.0
_LARGE_BYTES: Final = 131_072  # sealed and opened in a thread: the loop would stand still for a millisecond
_SWEEP_S: Final = 10.0  # for clearing
_SWEEP_CALL_S: Final = 1.0
_SWEEP_COUNT: Final = 500  # keys looked at in one step
_MAX_REASONS: Final = 16


class Sealing(Protocol):
    """How entries become bytes: the module `envelope`, or what stands around it."""

    def seal(self, entry: Entry, key: bytes) -> bytes:
        """Raises ValueError for what cannot be sealed."""
        ...

    def opened(self, sealed: bytes, key: bytes) -> Entry | None:
        """None for what is broken or another's."""
        ...


class RedisStore:
    """One tier. `grace_s`: how long an entry may be of use past its time to live."""

    def __init__(
        self,
        link: RedisLink,
        *,
        prefix: str = "skinflint",
        max_entry_bytes: int = 4_194_304,
        grace_s: float = 0.0,
        sealing: Sealing = envelope,
        may_answer: Callable[[], bool] = lambda: True,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`may_answer`: are the rules of invalidation known by which its answers must be judged?"""
        self._link = link
        self._prefix = f"{prefix}:e:".encode()
        self._max_entry_bytes = max_entry_bytes
        self._grace_s = grace_s
        self._sealing = sealing
        self._may_answer = may_answer
        self._clock = clock
        self._hits = 0
        self._misses = 0
        self._failures = 0
        self._refusals: set[str] = set()

    async def get(self, key: bytes) -> Entry | None:
        if not self._may_answer():
            raise StoreUnavailableError("rules_unknown")
        try:
            sealed = await self._link.get(self._prefix + key)
        except RedisUnavailableError as failure:
            raise self._unavailable(failure) from failure
        if sealed is None:
            self._misses += 1
            return None
        if len(sealed) > _LARGE_BYTES:
            entry = await asyncio.to_thread(self._sealing.opened, sealed, key)
        else:
            entry = self._sealing.opened(sealed, key)
        if entry is None:
            self._misses += 1
        else:
            self._hits += 1
        return entry

    async def put(self, key: bytes, entry: Entry) -> None:
        """What is too large is not kept; neither is what it would have replaced."""
        try:
            sealed = await self._sealed(key, entry) if len(entry.body) <= self._max_entry_bytes else None
        except ValueError:
            sealed = None
        try:
            if sealed is None or len(sealed) > self._max_entry_bytes:
                await self._link.delete(self._prefix + key)
                return
            ttl_s = max(_LEAST_TTL_S, entry.ttl_s + self._grace_s)
            await self._link.set(self._prefix + key, sealed, round(ttl_s * 1000))
        except RedisUnavailableError as failure:
            raise self._unavailable(failure) from failure

    async def _sealed(self, key: bytes, entry: Entry) -> bytes:
        if len(entry.body) > _LARGE_BYTES:
            return await asyncio.to_thread(self._sealing.seal, entry, key)
        return self._sealing.seal(entry, key)

    async def delete(self, key: bytes) -> bool:
        try:
            return await self._link.delete(self._prefix + key)
        except RedisUnavailableError as failure:
            raise self._unavailable(failure) from failure

    async def clear(self) -> int:
        """Looks through all keys of all servers, and gives up after ten seconds: a rule of invalidation is better."""
        sweep = _Sweep(self._prefix, self._clock() + _SWEEP_S, self._clock)
        try:
            await self._link.for_each_server(sweep.run, _SWEEP_CALL_S)
        except RedisUnavailableError as failure:
            raise self._unavailable(failure) from failure
        return sweep.removed

    def stats(self) -> StoreStats:
        return StoreStats(
            tier="redis",
            entries=UNKNOWN,
            used_bytes=UNKNOWN,
            limit_bytes=UNKNOWN,
            evicted=0,
            hits=self._hits,
            misses=self._misses,
            failures=self._failures,
            is_up=self._link.is_up,
        )

    def _unavailable(self, failure: RedisUnavailableError) -> StoreUnavailableError:
        """The link says what is wrong with the server; what it refuses us alone is said here, once."""
        self._failures += 1
        reason = failure.reason
        if isinstance(failure, RedisRefusedError) and len(self._refusals) < _MAX_REASONS:
            if reason not in self._refusals:
                log.warning("redis_refuses", reason=reason)
            self._refusals.add(reason)
        return StoreUnavailableError(reason)


class _Sweep:
    """Removes every key of a prefix."""

    def __init__(self, prefix: bytes, ends_at: float, clock: Callable[[], float]) -> None:
        self._pattern = b"".join(b"\\" + bytes((byte,)) if byte in b"*?[]\\^" else bytes((byte,)) for byte in prefix)
        self._ends_at = ends_at
        self._clock = clock
        self.removed = 0

    async def run(self, ask: Ask) -> None:
        """On one server."""
        cursor: Argument = 0
        while True:
            reply = await ask(b"SCAN", cursor, b"MATCH", self._pattern + b"*", b"COUNT", _SWEEP_COUNT)
            match reply:
                case [bytes(cursor), list(keys)]:
                    removals = [ask(b"UNLINK", key) for key in keys if isinstance(key, bytes)]
                    replies: list[Reply] = await asyncio.gather(*removals)
                    self.removed += sum(reply for reply in replies if isinstance(reply, int))
                case _:
                    raise RedisUnavailableError("protocol_error")
            if cursor == b"0":
                return
            if self._clock() > self._ends_at:
                raise RedisUnavailableError("too_many_keys")
