"""Fills a KeyFilter with the keys in the disk tier's file, in a thread of its own that leaves the processor to others.

Rules: it reads a little, then rests, so that the event loop gets its turns and nothing waits for a start. A failure
gives no filter: then every key may be there, which costs time and nothing else.
"""

import threading
import time
from collections.abc import Callable, Iterable
from contextlib import closing
from pathlib import Path
from typing import Final

from proxy.stores.disk.faults import FAULTS
from proxy.stores.disk.file import open_reader
from proxy.stores.disk.key_filter import KeyFilter

_STEP_KEYS: Final = 500  # a third of a millisecond
_REST_S: Final = 0.0005
_ROOM: Final = 2  # for as many again as there are
_SINCE: Final = 65_536  # keys added during a scan; with more it begins anew
_RETRY_S: Final = 10.0

type Deliver = Callable[[Callable[[], None]], None]


def scan(path: Path, stopping: threading.Event) -> KeyFilter | None:
    """A filter of all keys that are in the file now, or None when it could not be read to its end."""
    try:
        with closing(open_reader(path)) as connection:
            entries: int = connection.execute("SELECT entries FROM totals").fetchone()[0]
            keys = KeyFilter(entries * _ROOM)
            last = b""
            # A statement of its own for every step: one long look would keep the write-ahead log from being folded.
            while not stopping.is_set():
                found = connection.execute(
                    "SELECT key FROM entries WHERE key > ? ORDER BY key LIMIT ?", (last, _STEP_KEYS)
                ).fetchall()
                for (key,) in found:
                    keys.add(key)
                if len(found) < _STEP_KEYS:
                    return keys
                last = found[-1][0]
                time.sleep(_REST_S)
    except FAULTS:
        pass
    return None


class KnownKeys:
    """The filter that is in force, as the event loop's thread sees it; None: it is not known yet what is there."""

    def __init__(self, path: Path, deliver: Deliver, pending: Callable[[], Iterable[bytes]]) -> None:
        """`deliver` calls something in the event loop's thread; `pending` gives the keys that are not written yet."""
        self._path = path
        self._deliver = deliver
        self._pending = pending
        self._filter: KeyFilter | None = None
        self._since: list[bytes] | None = None  # added while a scan is under way
        self._scan = 0  # the number of the last; an earlier one's filter is of no use
        self._retry_at = 0.0
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    def may_hold(self, key: bytes) -> bool:
        """False: it is surely not there."""
        keys = self._filter
        return keys is None or keys.may_hold(key)

    @property
    def is_known(self) -> bool:
        """Is there a filter?"""
        return self._filter is not None

    def add(self, key: bytes) -> None:
        """It is there, or will be."""
        since, keys = self._since, self._filter
        if keys is not None:
            keys.add(key)
        if since is not None:
            since.append(key)
        if (since is None and (keys is None or keys.is_full)) or (since is not None and len(since) > _SINCE):
            self.read()

    def start_over(self) -> None:
        """There is another file now, or an empty one."""
        self._filter = None
        self._retry_at = 0.0
        self.read()

    def read(self) -> None:
        """Read the file's keys anew, unless that failed just now; meanwhile the filter so far is in force."""
        if self._filter is None and time.monotonic() < self._retry_at:
            return
        self._stopping.set()
        self._stopping = threading.Event()
        self._scan += 1
        self._since = list(self._pending())
        arguments = (self._scan, self._stopping)
        self._thread = threading.Thread(target=self._run, args=arguments, name="cache-keys", daemon=True)
        self._thread.start()

    def close(self, deadline_s: float) -> None:
        """Give up a scan that is under way."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join(deadline_s)

    def _run(self, number: int, stopping: threading.Event) -> None:
        keys = scan(self._path, stopping)
        if not stopping.is_set():
            self._deliver(lambda: self._adopt(number, keys))

    def _adopt(self, number: int, keys: KeyFilter | None) -> None:
        if number != self._scan:
            return
        since, self._since = self._since or [], None
        self._filter = keys
        if keys is None:
            self._retry_at = time.monotonic() + _RETRY_S
            return
        for key in since:
            keys.add(key)
