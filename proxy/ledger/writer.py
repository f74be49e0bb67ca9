"""Takes finished calls from the request path and writes them to the ledger from a thread of its own.

Rules: `record` costs about a microsecond, never blocks and never raises. Rows wait in a bounded queue until they are
written; when the database fails they go on waiting, the state is `degraded`, and one log line says why and what to do.
Rows are given up only when the queue is full, and counted. At the end whatever could not be written is spilled to a
file, which the next start reads back. Only the thread touches the store.
"""

import asyncio
import math
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, Literal

import structlog

from config.schema import Ledger
from proxy.exchange.record import CallRecord
from proxy.ledger.faults import StoreError, translate
from proxy.ledger.location import safe_name, sqlite_path
from proxy.ledger.opening import open_store as open_any
from proxy.ledger.spill import FILE_NAME, has_spilled, replay, spill
from proxy.ledger.store import RowStore
from proxy.sqlite_files import set_aside

PRUNE_ROWS: Final = 2_000  # a transaction of some ten milliseconds: readers and writes are not held up
PRUNE_EVERY_S: Final = 86_400.0
FIRST_RETRY_S: Final = 0.5
LAST_RETRY_S: Final = 30.0
SAY_LOST_EVERY_S: Final = 60.0

type OpenStore = Callable[[str], RowStore]

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class LedgerStatus:
    """How the ledger is. `lost` rows were never written and never will be."""

    state: Literal["ok", "degraded"]
    reason: str  # empty when ok
    queued: int
    written: int
    lost: int


class LedgerWriter:
    """The ledger, as the proxy sees it. `record` may be called before `start`; after `close` rows are lost."""

    def __init__(
        self,
        url: str,
        settings: Ledger,
        *,
        clock: Callable[[], float] = time.time,
        spill_path: Path | None = None,
        keeps_house: bool = True,
        open_store: OpenStore = open_any,
    ) -> None:
        """`spill_path` is where the rest goes at the end; by default a file beside an SQLite ledger. Of several
        writers of one ledger one `keeps_house`: it deletes old rows, and reads back what was spilled.

        Raises ValueError for what is no database URL.
        """
        self._url = url
        self._name = safe_name(url)
        self._path = sqlite_path(url)
        if spill_path is None and self._path is not None:
            spill_path = self._path.with_name(FILE_NAME)
        self._spill_path = spill_path
        self._settings = settings
        self._clock = clock
        self._open_store = open_store

        self._queue: deque[CallRecord | threading.Event] = deque()
        self._limit = settings.queue_rows
        self._batch_rows = settings.batch_rows
        self._hand: list[CallRecord] = []  # taken from the queue, not written yet
        self._awaited: threading.Event | None = None  # set when the hand is written
        self._wake = threading.Event()
        self._stopping = threading.Event()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="ledger", daemon=True)

        self._store: RowStore | None = None
        self._fault: StoreError | None = None
        self._retry_s = FIRST_RETRY_S
        self._written = self._lost = 0
        self._said_lost = 0
        self._say_lost_at = 0.0
        self._has_read_back = not keeps_house
        self._prune_at = 0.0 if keeps_house else math.inf

    def start(self) -> None:
        """Start the thread, which opens the ledger. A ledger that cannot be opened is degraded, not fatal."""
        self._thread.start()

    def record(self, row: CallRecord) -> None:
        """Take one row. It is lost, and counted, when `queue_rows` rows wait already."""
        queue = self._queue
        if len(queue) + len(self._hand) >= self._limit or self._closed:
            self._lost += 1
            return
        queue.append(row)
        if len(queue) == self._batch_rows:
            self._wake.set()

    def status(self) -> LedgerStatus:
        """How the ledger is now. Cheap, and safe from any thread."""
        fault = self._fault
        return LedgerStatus(
            state="ok" if fault is None else "degraded",
            reason="" if fault is None else fault.reason,
            queued=len(self._queue) + len(self._hand),
            written=self._written,
            lost=self._lost,
        )

    async def flush(self, deadline_s: float) -> bool:
        """Wait until all rows recorded so far are settled. False when the deadline came first."""
        if self._closed or not self._thread.is_alive():
            return not self._queue and not self._hand
        reached = threading.Event()
        self._queue.append(reached)
        self._wake.set()
        return await asyncio.to_thread(reached.wait, deadline_s)

    async def close(self, deadline_s: float) -> None:
        """Write or spill everything, then close the ledger. Returns by the deadline; further calls do nothing."""
        if self._closed:
            return
        self._closed = True
        self._stopping.set()
        self._wake.set()
        if self._thread.is_alive():
            await asyncio.to_thread(self._thread.join, deadline_s)
        # Left here when the thread hangs in a write, or never ran. A row that it does write yet is known by its id.
        self._spill_rest()

    def _run(self) -> None:
        while True:
            is_last = self._stopping.is_set()  # read first: what was queued before the end has its turn
            self._turn()
            self._say_lost()
            if is_last:
                break
            self._wake.wait(self._settings.flush_s if self._fault is None else self._retry_s)
            self._wake.clear()
        self._spill_rest()
        self._let_go()

    def _turn(self) -> None:
        try:
            store = self._store = self._store or self._open_store(self._url)
            self._read_back(store)
            self._drain(store)
            self._prune(store)
        except StoreError as error:
            self._fail(error)
        except Exception as error:  # noqa: BLE001 - a thread that died of a bug would lose rows in silence
            self._fail(StoreError(f"unexpected {type(error).__name__}: {error}"[:200], advice="report this as a bug"))

    def _drain(self, store: RowStore) -> None:
        while self._hand or self._queue:
            self._take()
            if self._hand:
                self._write(store, self._hand)
                self._hand = []
            self._recover()
            self._release()
        self._recover()

    def _take(self) -> None:
        """Fill the hand with the oldest rows, up to where somebody waits in `flush`."""
        while self._queue and self._awaited is None and len(self._hand) < self._batch_rows:
            match self._queue.popleft():
                case threading.Event() as awaited:
                    self._awaited = awaited
                case row:
                    self._hand.append(row)

    def _release(self) -> None:
        if self._awaited is not None:
            self._awaited.set()
            self._awaited = None

    def _write(self, store: RowStore, rows: Sequence[CallRecord]) -> None:
        done = store.write(rows)
        self._written += done.rows
        if done.refused:
            self._lost += done.refused
            self._said_lost += done.refused
            log.warning("ledger_rows_refused", ledger=self._name, rows=done.refused)

    def _read_back(self, store: RowStore) -> None:
        path = self._spill_path
        if path is None or self._has_read_back:
            return
        if has_spilled(path):
            try:
                done = replay(path, self._batch_rows, lambda rows: self._write(store, rows))
            except OSError as error:  # the ledger itself is well: go on without those rows
                log.warning("ledger_spill_unreadable", file=str(path), reason=translate(error).reason)
            else:
                log.info("ledger_spill_read_back", file=str(path), rows=done.rows, unreadable=done.unreadable)
        self._has_read_back = True

    def _prune(self, store: RowStore) -> None:
        now = self._clock()
        if now < self._prune_at or self._stopping.is_set():
            return
        deleted = store.prune(now - self._settings.keep_days * 86_400.0, PRUNE_ROWS)
        if deleted:
            log.info("ledger_pruned", ledger=self._name, rows=deleted, keep_days=self._settings.keep_days)
        if deleted < PRUNE_ROWS:
            self._prune_at = now + PRUNE_EVERY_S

    def _fail(self, error: StoreError) -> None:
        self._let_go()
        if error.is_corrupt and self._path is not None:
            now = datetime.fromtimestamp(self._clock(), UTC)
            if (kept := set_aside(self._path, now)) is not None:
                log.error("ledger_corrupt", ledger=self._name, reason=error.reason, set_aside=str(kept))
                self._wake.set()
                return
        self._retry_s = FIRST_RETRY_S if self._fault is None else min(self._retry_s * 2, LAST_RETRY_S)
        is_news = self._fault is None or self._fault.reason != error.reason
        self._fault = error
        if is_news:
            log.error(
                "ledger_degraded",
                ledger=self._name,
                reason=error.reason,
                advice=error.advice,
                queued=self.status().queued,
                queue_rows=self._limit,
            )

    def _recover(self) -> None:
        if self._fault is not None:
            self._fault = None
            log.info("ledger_recovered", ledger=self._name, written=self._written, lost=self._lost)

    def _say_lost(self) -> None:
        now = self._clock()
        if self._lost > self._said_lost and now >= self._say_lost_at:
            self._said_lost, self._say_lost_at = self._lost, now + SAY_LOST_EVERY_S
            log.error("ledger_queue_full", ledger=self._name, queue_rows=self._limit, lost=self._lost)

    def _spill_rest(self) -> None:
        rest = [*self._hand, *self._drained()]
        self._hand = []
        self._release()
        if not rest:
            return
        kept = 0
        if self._spill_path is not None:
            try:
                kept = spill(self._spill_path, rest)
            except OSError as error:
                log.warning("ledger_spill_failed", file=str(self._spill_path), reason=translate(error).reason)
        self._lost += len(rest) - kept
        log.error("ledger_spilled", file=str(self._spill_path or ""), rows=kept, lost=len(rest) - kept)

    def _drained(self) -> list[CallRecord]:
        rows: list[CallRecord] = []
        while True:
            try:
                item = self._queue.popleft()
            except IndexError:
                return rows
            if isinstance(item, threading.Event):
                item.set()
            else:
                rows.append(item)

    def _let_go(self) -> None:
        if self._store is not None:
            store, self._store = self._store, None
            store.close()
