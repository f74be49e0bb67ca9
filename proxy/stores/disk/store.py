"""The tier that survives a restart: answers in an SQLite file, bounded by bytes.

Rules: the event loop never waits for the disk. What is put is written behind it (writer.py), and found meanwhile;
what is asked for is looked up by a thread (reader.py) within a deadline, and only when the file may hold it
(keys.py). Several processes use one file. What is unused for longest goes first, in steps. A disk that fails or
hangs makes the tier unavailable until it works again; a corrupt file is set aside. Nothing is answered before the rules
of invalidation that the file holds have been handed over.
"""

import asyncio
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from proxy.stores.base import Entry, StoreStats, StoreUnavailableError
from proxy.stores.disk.file import DiskFile
from proxy.stores.disk.keys import KnownKeys
from proxy.stores.disk.listing import DiskListing
from proxy.stores.disk.lookups import Lookups, resolve
from proxy.stores.disk.orders import Clear, Delete, Put, Reached, Totals
from proxy.stores.disk.reader import DiskReader
from proxy.stores.disk.writer import DiskWriter, OpenFile
from proxy.stores.listing import Kept
from proxy.stores.rules import Rule
from proxy.stores.sealing.sealer import Sealer

DELETE_DEADLINE_S: Final = 5.0
CLEAR_DEADLINE_S: Final = 30.0
PENDING_BYTES: Final = 16 * 1024 * 1024  # of bodies that are not written yet; beyond it answers are not kept here
PENDING: Final = 8_192
URGENT_BYTES: Final = PENDING_BYTES // 4  # are not gathered any further


def _nothing_to_tell(_rules: Sequence[Rule]) -> None:
    pass


class DiskStore:
    """See the module. `start` in the event loop that uses it, after any fork; `close` ends its threads."""

    def __init__(
        self,
        path: Path,
        limit_bytes: int,
        sealer: Sealer,
        *,
        grace_s: float = 0.0,
        read_timeout_s: float = 0.05,
        on_rules: Callable[[Sequence[Rule]], None] = _nothing_to_tell,
        clock: Callable[[], float] = time.time,
        open_file: OpenFile = DiskFile.open,
    ) -> None:
        """`grace_s`: how long past its time to live an entry is kept. `on_rules` is given the rules that the file
        holds, and those that other processes add. An entry larger than an eighth of the bound is not kept."""
        self._on_rules = on_rules
        self._loop: asyncio.AbstractEventLoop | None = None
        self._lookups = Lookups(self._in_loop, read_timeout_s)
        self._reader = DiskReader(path, sealer, self._lookups.deliver, clock)
        self._writer = DiskWriter(
            path,
            limit_bytes=limit_bytes,
            grace_s=grace_s,
            sealer=sealer,
            reader=self._reader,
            told=self,
            clock=clock,
            open_file=open_file,
        )
        self._listing = DiskListing(path, sealer)
        self._keys = KnownKeys(path, self._in_loop, lambda: self._pending)
        self._pending: dict[bytes, Put | None] = {}  # None: to be deleted
        self._pending_bytes = 0
        self._totals = Totals(0, 0)
        self._opened = asyncio.Event()
        self._clearing = self._clears = 0
        self._hits = self._misses = self._failures = 0

    def start(self) -> None:
        """Open the file, in the background."""
        self._loop = asyncio.get_running_loop()
        self._writer.start()
        self._reader.start()

    async def ready(self, deadline_s: float) -> bool:
        """Wait until the file is open and its rules are known. False when the deadline came first."""
        with suppress(TimeoutError):
            async with asyncio.timeout(deadline_s):
                await self._opened.wait()
        return self._opened.is_set()

    # -- Store

    async def get(self, key: bytes) -> Entry | None:
        """Raises StoreUnavailableError when the disk does not answer in time."""
        if not self._keys.may_hold(key):
            self._misses += 1
            return None
        if key in self._pending:
            return self._counted(self._waiting(key))
        if self._clearing or not self._opened.is_set():
            self._misses += 1
            return None
        clears = self._clears
        try:
            entry = await self._lookups.find(self._reader, key)
        except StoreUnavailableError:
            self._failures += 1
            raise
        if key in self._pending:  # put or deleted meanwhile
            entry = self._waiting(key)
        elif clears != self._clears:
            entry = None
        return self._counted(entry)

    async def put(self, key: bytes, entry: Entry) -> None:
        """As `offer`."""
        self.offer(key, entry)

    def offer(self, key: bytes, entry: Entry) -> None:
        """Written soon. Raises StoreUnavailableError when too much waits already, or the disk fails."""
        size = len(entry.body)
        if self._writer.fault is not None or not self._writer.is_running:
            raise self._failed("the disk tier is down")
        if self._pending_bytes + size > PENDING_BYTES or len(self._pending) >= PENDING:
            raise self._failed("the disk tier has too much to write")
        put = Put(key, entry)
        if key in self._pending:
            self._forget_pending(key)
        self._pending[key] = put
        self._pending_bytes += size
        self._keys.add(key)
        self._writer.put(put, is_urgent=self._pending_bytes > URGENT_BYTES)

    async def delete(self, key: bytes) -> bool:
        """Raises StoreUnavailableError when the disk does not do it within five seconds."""
        asked = self._ask()
        was_pending = self._forget_pending(key)
        self._pending[key] = None
        self._writer.order(Delete(key, asked))
        try:
            return await self._answer(asked, DELETE_DEADLINE_S) > 0 or was_pending
        finally:
            if self._pending.get(key, asked) is None:
                del self._pending[key]

    async def clear(self) -> int:
        """Raises StoreUnavailableError when the disk does not do it within half a minute."""
        asked = self._ask()
        self._pending.clear()
        self._pending_bytes = 0
        self._clearing += 1
        self._clears += 1
        self._writer.order(Clear(asked))
        try:
            return await self._answer(asked, CLEAR_DEADLINE_S)
        finally:
            self._clearing -= 1
            self._keys.start_over()

    def stats(self) -> StoreStats:
        """As of the last commit."""
        return StoreStats(
            tier="disk",
            entries=self._totals.entries,
            used_bytes=self._totals.used_bytes,
            limit_bytes=self._writer.limit_bytes,
            evicted=self._writer.evicted,
            hits=self._hits,
            misses=self._misses,
            failures=self._failures,
            is_up=self._writer.fault is None,
        )

    # -- beside it

    async def entries(self, after: bytes, limit: int) -> list[Kept]:
        """See Listing: what is in the file, whatever still waits to be written."""
        if not self._opened.is_set():
            raise StoreUnavailableError("the disk tier is not open")
        return await self._listing.entries(after, limit)

    def add_rule(self, rule: Rule) -> None:
        """Keep it in the file, for later starts and other processes; when the file works again, if need be."""
        self._writer.keep_rule(rule)

    def resize(self, limit_bytes: int) -> None:
        """A new bound, obeyed soon."""
        self._writer.limit_bytes = limit_bytes

    async def flush(self, deadline_s: float) -> bool:
        """Wait until what was put so far is written, or given up. False when the deadline came first."""
        reached = threading.Event()
        if not self._writer.is_running:
            return not self._writer.queue
        self._writer.order(Reached(reached))
        is_done = await asyncio.to_thread(reached.wait, deadline_s)
        await asyncio.sleep(0)  # what the writer told before has its turn
        return is_done

    async def close(self, deadline_s: float) -> None:
        """Write what waits, and end. Returns by the deadline."""
        give_up_at = time.monotonic() + deadline_s
        closing = [self._writer.close, self._keys.close]
        if self._loop is not None:
            closing.append(self._reader.close)
        for close in closing:
            await asyncio.to_thread(close, max(0.0, give_up_at - time.monotonic()))

    # -- asking

    def _ask(self) -> asyncio.Future[int]:
        if not self._writer.is_running:
            raise self._failed("the disk tier is not running")
        asked = asyncio.get_running_loop().create_future()
        if self._writer.fault is not None:  # done later, if it can be: nobody waits for that
            asked.set_exception(StoreUnavailableError("the disk tier is down"))
        return asked

    async def _answer(self, asked: asyncio.Future[int], deadline_s: float) -> int:
        try:
            async with asyncio.timeout(deadline_s):
                return await asked
        except TimeoutError:
            raise self._failed("the disk tier did not answer in time") from None
        except StoreUnavailableError:
            self._failures += 1
            raise

    def _failed(self, reason: str) -> StoreUnavailableError:
        self._failures += 1
        return StoreUnavailableError(reason)

    def _waiting(self, key: bytes) -> Entry | None:
        put = self._pending[key]
        return put.entry if put is not None else None

    def _counted(self, entry: Entry | None) -> Entry | None:
        if entry is None:
            self._misses += 1
        else:
            self._hits += 1
        return entry

    def _forget_pending(self, key: bytes) -> bool:
        put = self._pending.pop(key, None)
        if put is None:
            return False
        self._pending_bytes -= len(put.entry.body)
        return True

    # -- Told, and what the reader says: called in their threads

    def settled(self, puts: Sequence[Put], totals: Totals | None) -> None:
        self._in_loop(lambda: self._settle(puts, totals))

    def answered(self, order: Delete | Clear, result: int | StoreUnavailableError) -> None:
        if (asked := order.asked) is not None:
            self._in_loop(lambda: resolve(asked, result))

    def opened(self) -> None:
        self._in_loop(self._open)

    def added_elsewhere(self, keys: Sequence[bytes], rules: Sequence[Rule]) -> None:
        self._in_loop(lambda: self._add(keys, rules))

    def _in_loop(self, function: Callable[[], None]) -> None:
        with suppress(RuntimeError):  # the loop has been closed: nobody is there to be told
            if self._loop is not None:
                self._loop.call_soon_threadsafe(function)

    # -- the same in the event loop's thread

    def _settle(self, puts: Sequence[Put], totals: Totals | None) -> None:
        for put in puts:
            if self._pending.get(put.key) is put:
                self._forget_pending(put.key)
        if totals is not None:
            self._totals = totals

    def _open(self) -> None:
        self._keys.start_over()
        self._opened.set()

    def _add(self, keys: Sequence[bytes], rules: Sequence[Rule]) -> None:
        for key in keys:
            self._keys.add(key)
        if rules:
            self._on_rules(rules)
