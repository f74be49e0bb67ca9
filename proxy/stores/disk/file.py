"""The disk tier's SQLite file, as the one thread that writes it sees it. Every failure comes out as a DiskFault.

Rules: mode 0600, WAL, so that readers and other processes go on meanwhile; a process killed at any point leaves what
was committed. `totals` is changed in the transaction that changes entries, so its figures are right whoever wrote. The
file is bounded by its pages in use; pages that became free are used again, and given back when there are many.
"""

import sqlite3
from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from itertools import accumulate
from pathlib import Path
from typing import Final, Self

from proxy.sqlite_files import make_private
from proxy.stores.disk.faults import FAULTS, DiskFault, translate
from proxy.stores.disk.orders import ROW_BYTES, Row, Totals

APPLICATION_ID: Final = 0x534B4643  # in the file's head: that it is ours
VERSION: Final = 1
BUSY_TIMEOUT_MS: Final = 5_000  # another process commits, or its housekeeping has its turn
SCHEMA: Final = Path(__file__).with_name("schema.sql")

_PRAGMAS: Final = (
    f"busy_timeout={BUSY_TIMEOUT_MS}",
    "auto_vacuum=INCREMENTAL",  # before anything is written: it cannot be changed later
    "journal_mode=WAL",
    "synchronous=NORMAL",  # with WAL, a crash of the machine may lose the last second but never corrupts
    "journal_size_limit=4194304",
    "cache_size=-1024",
)
_INSERT: Final = (
    "INSERT INTO entries (seq, key, size, used_at, keep_until, content) VALUES (?, ?, ?, ?, ?, ?)"
    " ON CONFLICT (key) DO NOTHING"
)
_REPLACE: Final = "UPDATE entries SET size = ?, used_at = ?, keep_until = ?, content = ? WHERE key = ?"
_SIZE: Final = "SELECT size FROM entries WHERE key = ?"
_NEWEST: Final = "SELECT max(newest, (SELECT ifnull(max(seq), 0) FROM entries)) FROM totals"
_COUNT: Final = "UPDATE totals SET entries = entries + ?, bytes = bytes + ?, newest = max(newest, ?)"
_STEP_ROWS: Final = 256  # deleted in one transaction: others have their turn in between
_EVICTED_TO: Final = 0.9
_FREE_SHARE: Final = 0.125  # of the bound: more free pages than this are given back
_VACUUM_PAGES: Final = 512  # in one step

type ConnectHook = Callable[[sqlite3.Connection], None]


class DiskFile:
    """One connection. What changes entries is called within `transaction`."""

    def __init__(self, connection: sqlite3.Connection, path: Path) -> None:
        self.connection = connection
        self._path = path
        self._inode = path.stat().st_ino
        self._page_bytes: int = connection.execute("PRAGMA page_size").fetchone()[0]
        self._entries = self._bytes = 0  # changed by the transaction that is open
        self._given = 0  # the highest number as that transaction knows it; 0: it has not looked

    @classmethod
    def open(cls, path: Path, on_connect: ConnectHook | None = None) -> Self:
        """Open the file, created if needed. Raises DiskFault."""
        try:
            make_private(path)
            with ExitStack() as on_failure:
                connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
                on_failure.callback(connection.close)
                for pragma in _PRAGMAS:
                    connection.execute(f"PRAGMA {pragma}").fetchall()
                if on_connect is not None:
                    on_connect(connection)
                _ensure_tables(connection)
                file = cls(connection, path)
                on_failure.pop_all()
                return file
        except FAULTS as error:
            raise translate(error) from error

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """All or nothing, with the totals; other processes take turns. Raises DiskFault."""
        connection = self.connection
        self._entries = self._bytes = self._given = 0
        try:
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
                if self._entries or self._bytes or self._given:
                    connection.execute(_COUNT, (self._entries, self._bytes, self._given))
                connection.execute("COMMIT")
            except BaseException:
                with suppress(sqlite3.Error):
                    connection.execute("ROLLBACK")
                raise
        except FAULTS as error:
            raise translate(error) from error

    def put(self, rows: Sequence[Row]) -> None:
        """Keep them, in place of older ones. Nearly all are new, so that is tried first."""
        before: int = self._given or self.connection.execute(_NEWEST).fetchone()[0]
        values = [
            (seq, row.key, len(row.content) + ROW_BYTES, row.used_at, row.keep_until, row.content)
            for seq, row in enumerate(rows, before + 1)
        ]
        self._given = before + len(rows)
        inserted = self.connection.executemany(_INSERT, values).rowcount
        self._entries += inserted
        self._bytes += sum([value[2] for value in values])
        if inserted == len(rows):
            return
        kept = {seq for (seq,) in self.connection.execute("SELECT seq FROM entries WHERE seq > ?", (before,))}
        for seq, key, *replacing in values:
            if seq not in kept:
                self._bytes -= self._size_of(key) or 0
                self.connection.execute(_REPLACE, (*replacing, key))

    def delete(self, key: bytes) -> bool:
        """Forget one; False if it was not there."""
        size = self._size_of(key)
        if size is None:
            return False
        self.connection.execute("DELETE FROM entries WHERE key = ?", (key,))
        self._entries -= 1
        self._bytes -= size
        return True

    def clear(self) -> int:
        """Forget all; returns how many that were. Dictionaries go too: they are made of entries."""
        count: int = self.connection.execute("SELECT entries FROM totals").fetchone()[0] + self._entries
        self.connection.execute("DELETE FROM entries")
        self.connection.execute("DELETE FROM dictionaries")
        self.connection.execute("UPDATE totals SET entries = 0, bytes = 0")
        self._entries = self._bytes = 0
        return count

    def touch(self, keys: Sequence[bytes], now: int) -> None:
        """They were read."""
        self.connection.executemany("UPDATE entries SET used_at = ? WHERE key = ?", [(now, key) for key in keys])

    def keep_dictionary(self, number: int, content: bytes, now: float, most: int) -> None:
        """Keep what opens entries; beyond `most` the oldest goes, and what it opened is nothing found."""
        self.connection.execute("INSERT OR IGNORE INTO dictionaries VALUES (?, ?, ?)", (number, now, content))
        self.connection.execute(
            "DELETE FROM dictionaries WHERE number NOT IN"
            " (SELECT number FROM dictionaries ORDER BY made_at DESC LIMIT ?)",
            (most,),
        )

    def _size_of(self, key: bytes) -> int | None:
        found: tuple[int] | None = self.connection.execute(_SIZE, (key,)).fetchone()
        return None if found is None else found[0]

    # -- housekeeping, in transactions of its own

    def evict(self, limit_bytes: int) -> int:
        """Forget what was unused for longest, down to nine tenths of the bound. Returns how many."""
        evicted = 0
        while (excess := int(self.used_bytes() - limit_bytes * _EVICTED_TO)) > 0 and (
            count := self._forget_some(
                "SELECT seq, size FROM entries ORDER BY used_at LIMIT ?", _STEP_ROWS, at_most=excess
            )
        ):
            evicted += count
        return evicted

    def expire(self, now: int) -> int:
        """Forget what nobody may be answered with any more: some of it. Returns how many."""
        return self._forget_some("SELECT seq, size FROM entries WHERE keep_until < ? LIMIT ?", now, _STEP_ROWS)

    def shrink(self, limit_bytes: int) -> bool:
        """Give back free pages if there are many: some of them. True when there are more to give."""
        if self._free_pages() * self._page_bytes <= limit_bytes * _FREE_SHARE:
            return False
        self.select(f"PRAGMA incremental_vacuum({_VACUUM_PAGES})")
        self.select("PRAGMA wal_checkpoint(PASSIVE)")  # which is when the file becomes smaller
        return self._free_pages() * self._page_bytes > limit_bytes * _FREE_SHARE

    def used_bytes(self) -> int:
        """Of all pages that hold something."""
        return (self._ask("page_count") - self._free_pages()) * self._page_bytes

    def _free_pages(self) -> int:
        return self._ask("freelist_count")

    def _forget_some(self, selecting: str, *arguments: int, at_most: int | None = None) -> int:
        """Those selected; of no more than `at_most` bytes together, but at least one. Returns how many."""
        with self.transaction() as connection:
            found: list[tuple[int, int]] = connection.execute(selecting, arguments).fetchall()
            if at_most is not None:
                reached = [*accumulate(size for _, size in found)]
                found = found[: bisect_left(reached, at_most) + 1]
            connection.executemany("DELETE FROM entries WHERE seq = ?", [(seq,) for seq, _ in found])
            self._entries -= len(found)
            self._bytes -= sum(size for _, size in found)
        return len(found)

    # -- state

    def totals(self) -> Totals:
        """How much is in it, for all processes."""
        entries, used = self.select("SELECT entries, bytes FROM totals")[0]
        assert isinstance(entries, int)
        assert isinstance(used, int)
        return Totals(entries, used)

    def newest(self) -> int:
        """The highest number that an entry has, or had."""
        newest = self.select("SELECT newest FROM totals")[0][0]
        return newest if isinstance(newest, int) else 0

    def changes(self) -> int:
        """A number that is another one when another process has written."""
        return self._ask("data_version")

    def probe(self) -> None:
        """Write something. Raises DiskFault while that fails."""
        with self.transaction() as connection:
            connection.execute("UPDATE totals SET probes = probes + 1")

    def check(self) -> None:
        """Raises DiskFault when the path leads to another file now, or to none: nobody would read what is written."""
        if not self.is_in_place():
            raise DiskFault("the file was replaced or deleted", advice="nothing: it is opened anew")

    def is_in_place(self) -> bool:
        """Does the path still lead to this file?"""
        try:
            return self._path.stat().st_ino == self._inode
        except OSError:
            return False

    def select(self, statement: str, arguments: Sequence[object] = ()) -> list[tuple[object, ...]]:
        """All rows. Raises DiskFault."""
        try:
            return self.connection.execute(statement, tuple(arguments)).fetchall()
        except FAULTS as error:
            raise translate(error) from error

    def close(self) -> None:
        """Let it go; the last of all processes folds the write-ahead log into the file."""
        with suppress(sqlite3.Error):
            self.connection.close()

    def _ask(self, pragma: str) -> int:
        rows = self.select(f"PRAGMA {pragma}")
        value = rows[0][0] if rows else 0
        return value if isinstance(value, int) else 0


def open_reader(path: Path) -> sqlite3.Connection:
    """A connection that only reads, to a file that is there. Raises sqlite3.Error."""
    with ExitStack() as on_failure:
        connection = sqlite3.connect(
            f"{path.absolute().as_uri()}?mode=rw", uri=True, isolation_level=None, check_same_thread=False
        )
        on_failure.callback(connection.close)
        for pragma in ("busy_timeout=20", "query_only=ON", "cache_size=-1024"):
            connection.execute(f"PRAGMA {pragma}")
        on_failure.pop_all()
        return connection


def _ensure_tables(connection: sqlite3.Connection) -> None:
    if _is_ready(connection):
        return
    connection.execute("BEGIN IMMEDIATE")  # processes that start together take turns
    try:
        if not _is_ready(connection):
            for statement in SCHEMA.read_text("utf-8").split(";\n"):
                if statement.strip():
                    connection.execute(statement)
            connection.execute(f"PRAGMA application_id={APPLICATION_ID}")
            connection.execute(f"PRAGMA user_version={VERSION}")
        connection.execute("COMMIT")
    except BaseException:
        with suppress(sqlite3.Error):
            connection.execute("ROLLBACK")
        raise


def _is_ready(connection: sqlite3.Connection) -> bool:
    """Raises DiskFault for a database that is not ours, or not of this version."""
    application = connection.execute("PRAGMA application_id").fetchone()[0]
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    tables = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
    if not tables and not application:
        return False
    if application != APPLICATION_ID:
        raise DiskFault("it is a database of something else", advice="name another file in cache.disk.path")
    if version != VERSION:
        raise DiskFault(
            "it was made by another version of Skinflint",
            advice="delete it, or name another file in cache.disk.path",
        )
    return True
