"""Looks entries up in the disk tier's file, on a thread of its own.

Rules: it never writes: what was read is noted, for the writer to move it away from the end that is evicted. A failure
is told to the writer, which alone sets files aside; reading is tried again after a moment. A dictionary that an entry
needs is fetched with it.
"""

import asyncio
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue
from typing import Final

from proxy.stores.base import Entry
from proxy.stores.disk.faults import FAULTS, DiskFault, translate
from proxy.stores.disk.file import open_reader
from proxy.stores.sealing.dictionary import NO_DICTIONARY
from proxy.stores.sealing.sealer import Sealer

TOUCH_STEP_S: Final = 600  # an entry that was used within it is not noted again
_TOUCHED: Final = 4_096  # noted and not written yet; beyond it the oldest are left out
_AT_ONCE: Final = 16  # answers handed over together
_PAUSE_S: Final = 1.0  # after a failure

_ENTRY: Final = "SELECT content, used_at FROM entries WHERE key = ?"
_DICTIONARY: Final = "SELECT content FROM dictionaries WHERE number = ?"


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of one look-up: an entry, nothing, or a failure."""

    asked: asyncio.Future[Entry | None]
    entry: Entry | None
    fault: DiskFault | None = None


type Deliver = Callable[[Sequence[Answer]], None]


@dataclass(frozen=True, slots=True)
class _Asked:
    key: bytes
    asked: asyncio.Future[Entry | None]


class DiskReader:
    """`ask` from the event loop; `deliver` is called in the reader's thread."""

    def __init__(self, path: Path, sealer: Sealer, deliver: Deliver, clock: Callable[[], float] = time.time) -> None:
        self._path = path
        self._sealer = sealer
        self._deliver = deliver
        self._clock = clock
        self._queue: SimpleQueue[_Asked | None] = SimpleQueue()  # None: there is something else to do
        self.touched: deque[bytes] = deque(maxlen=_TOUCHED)
        self.fault: DiskFault | None = None  # the last, until reading works again; the writer looks at it
        self._retry_at = 0.0
        self._connection: sqlite3.Connection | None = None
        self._is_stale = False
        self._is_ending = False
        self._thread = threading.Thread(target=self._run, name="cache-read", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def ask(self, key: bytes, asked: asyncio.Future[Entry | None]) -> None:
        """Look it up; the answer comes with `asked`."""
        self._queue.put(_Asked(key, asked))

    def reopen(self) -> None:
        """There is another file now, or none: let go of the one that is open, which may be deleted already."""
        self._is_stale = True
        self.fault = None
        self._queue.put(None)

    def close(self, deadline_s: float) -> None:
        """End the thread. It is left behind when it hangs in the disk."""
        self._is_ending = True
        self._queue.put(None)
        self._thread.join(deadline_s)

    def _run(self) -> None:
        while not self._is_ending:
            answers: list[Answer] = []
            wanted = self._queue.get()
            while wanted is not None:
                answers.append(self._look_up(wanted))
                if len(answers) == _AT_ONCE or self._queue.empty():
                    break
                wanted = self._queue.get()
            if answers:
                self._deliver(answers)
            if self._is_stale:
                self._let_go()
        self._let_go()

    def _look_up(self, wanted: _Asked) -> Answer:
        try:
            entry = self._read(wanted.key)
        except FAULTS as error:
            self._let_go()
            self._retry_at = time.monotonic() + _PAUSE_S
            fault = translate(error)
            if not self._is_stale:
                self.fault = fault
            return Answer(wanted.asked, None, fault)
        except DiskFault as fault:
            return Answer(wanted.asked, None, fault)
        self.fault = None
        return Answer(wanted.asked, entry)

    def _read(self, key: bytes) -> Entry | None:
        connection = self._connect()
        found = connection.execute(_ENTRY, (key,)).fetchone()
        if found is None:
            return None
        content, used_at = found
        number = Sealer.dictionary_of(content)
        if number != NO_DICTIONARY and not self._sealer.knows(number):
            kept = connection.execute(_DICTIONARY, (number,)).fetchone()
            if kept is None or self._sealer.learn(number, kept[0]) is None:
                return None
        entry = self._sealer.opened(content, key)
        if entry is not None and used_at < self._clock() - TOUCH_STEP_S:
            self.touched.append(key)
        return entry

    def _connect(self) -> sqlite3.Connection:
        if self._is_stale:
            self._is_stale = False
            self._let_go()
        if self._connection is None:
            if self.fault is not None and time.monotonic() < self._retry_at:
                raise self.fault
            self._connection = open_reader(self._path)
        return self._connection

    def _let_go(self) -> None:
        if self._connection is not None:
            connection, self._connection = self._connection, None
            with suppress(sqlite3.Error):
                connection.close()
