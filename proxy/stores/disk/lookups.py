"""Look-ups on disk, as the event loop's thread sees them: each with a deadline, and none behind a disk that hangs.

Rules: when one was not answered in time, nobody else waits until something comes from the disk again; so a disk that
hangs costs those calls their deadline that were under way, and no other.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import Final

import structlog

from proxy.stores.base import Entry, StoreUnavailableError
from proxy.stores.disk.reader import Answer, DiskReader

READING: Final = 256  # at once
SAY_SLOW_EVERY_S: Final = 60.0

log = structlog.get_logger(__name__)


class Lookups:
    """See the module. `in_loop` calls something in the event loop's thread."""

    def __init__(self, in_loop: Callable[[Callable[[], None]], None], timeout_s: float) -> None:
        self._in_loop = in_loop
        self._timeout_s = timeout_s
        self._under_way = 0
        self._is_stuck = False
        self._say_slow_at = 0.0

    async def find(self, reader: DiskReader, key: bytes) -> Entry | None:
        """What the file holds. Raises StoreUnavailableError when it cannot be said in time."""
        if self._is_stuck or self._under_way >= READING:
            raise StoreUnavailableError("the disk tier is behind")
        asked: asyncio.Future[Entry | None] = asyncio.get_running_loop().create_future()
        self._under_way += 1
        reader.ask(key, asked)
        try:
            async with asyncio.timeout(self._timeout_s):
                return await asked
        except TimeoutError:
            self._is_stuck = self._under_way > 0
            self._say_slow()
            raise StoreUnavailableError("the disk tier did not answer in time") from None

    def deliver(self, answers: Sequence[Answer]) -> None:
        """Called by the reader, in its thread."""
        self._in_loop(lambda: self._take(answers))

    def _take(self, answers: Sequence[Answer]) -> None:
        self._under_way -= len(answers)
        self._is_stuck = False
        for answer in answers:
            if answer.fault is None:
                resolve(answer.asked, answer.entry)
            else:
                resolve(answer.asked, StoreUnavailableError("the disk tier cannot be read"))

    def _say_slow(self) -> None:
        now = time.monotonic()
        if now >= self._say_slow_at:
            self._say_slow_at = now + SAY_SLOW_EVERY_S
            log.warning("cache_tier_slow", tier="disk", read_timeout_s=self._timeout_s)


def resolve[T](asked: asyncio.Future[T], result: T | StoreUnavailableError) -> None:
    """Give the result to whoever asked, unless they have given up."""
    if asked.done():
        return
    if isinstance(result, StoreUnavailableError):
        asked.set_exception(result)
    else:
        asked.set_result(result)
