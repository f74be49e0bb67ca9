"""The ledger in an SQLite file, by the standard library alone: what nearly every proxy has.

Rules: the file has mode 0600 and is in WAL mode, so that reports are read while the proxy writes. A new ledger gets its
tables from sqlite_schema.sql, which a test holds to schema.py; only an older one is upgraded, by migrate.py, and only
then is SQLAlchemy imported: it takes 12 MB and 0.2 s.
"""

import sqlite3
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Final, Self

from proxy.exchange.record import CallRecord
from proxy.ledger.faults import ROW_FAULTS, StoreError, translate
from proxy.ledger.rows import HEAD, ROW_COLUMNS, TABLE, VERSION_TABLE, row_values
from proxy.ledger.store import Written
from proxy.sqlite_files import make_private

BUSY_TIMEOUT_MS: Final = 5_000  # a report, a migration or a second proxy may hold the lock for a moment
WAL_LIMIT_BYTES: Final = 16 * 1024 * 1024  # what the write-ahead log shrinks to after a checkpoint
PRAGMAS: Final = (
    f"busy_timeout={BUSY_TIMEOUT_MS}",
    "journal_mode=WAL",
    "synchronous=NORMAL",  # with WAL, a crash of the machine may lose the last second but never corrupts
    f"journal_size_limit={WAL_LIMIT_BYTES}",
)
SCHEMA: Final = Path(__file__).with_name("sqlite_schema.sql")

_INSERT: Final = f"INSERT INTO {TABLE} ({', '.join(ROW_COLUMNS)}) VALUES ({', '.join('?' * len(ROW_COLUMNS))})"  # noqa: S608 - no input in it
_PRUNE: Final = (
    f"DELETE FROM {TABLE} WHERE id IN (SELECT id FROM {TABLE} WHERE started_at < ? ORDER BY started_at LIMIT ?)"  # noqa: S608
)
# SQLite's driver has errors of its own for a value that it cannot bind.
_ROW_FAULTS: Final = (*ROW_FAULTS, sqlite3.InterfaceError, sqlite3.ProgrammingError)
_FAULTS: Final = (sqlite3.Error, OSError)

type ConnectHook = Callable[[sqlite3.Connection], None]


class SqliteStore:
    """A RowStore on one connection to an SQLite file."""

    def __init__(self, connection: sqlite3.Connection, path: Path) -> None:
        self._connection = connection
        self._path = path
        self._inode = path.stat().st_ino

    @classmethod
    def open(cls, path: Path, on_connect: ConnectHook | None = None) -> Self:
        """Open the ledger, created and brought to the newest version if needed. Raises StoreError."""
        try:
            make_private(path)
            with ExitStack() as on_failure:
                connection = sqlite3.connect(path, check_same_thread=False)
                on_failure.callback(connection.close)
                for pragma in PRAGMAS:
                    connection.execute(f"PRAGMA {pragma}")
                if on_connect is not None:
                    on_connect(connection)
                _ensure_schema(connection, path)
                store = cls(connection, path)
                on_failure.pop_all()
                return store
        except _FAULTS as error:
            raise translate(error) from error

    def write(self, rows: Sequence[CallRecord]) -> Written:
        """Append rows; one by one when the database refuses something in them."""
        try:
            self._check_file()
            try:
                self._append(rows)
            except _ROW_FAULTS:
                return self._append_one_by_one(rows)
            return Written(len(rows))
        except _FAULTS as error:
            raise translate(error) from error

    def prune(self, before: float, limit: int) -> int:
        """Delete the oldest rows that started before `before`."""
        try:
            with self._connection as connection:
                return connection.execute(_PRUNE, (before, limit)).rowcount
        except _FAULTS as error:
            raise translate(error) from error

    def close(self) -> None:
        """Close the connection; SQLite then folds its write-ahead log into the file."""
        with suppress(sqlite3.Error):
            self._connection.close()

    def _append(self, rows: Sequence[CallRecord]) -> None:
        values = [row_values(row) for row in rows]
        with self._connection as connection:
            connection.executemany(_INSERT, values)

    def _append_one_by_one(self, rows: Sequence[CallRecord]) -> Written:
        refused = 0
        for row in rows:
            try:
                self._append([row])
            except sqlite3.IntegrityError:
                refused += not self._has(row.id)
            except _ROW_FAULTS:
                refused += 1
        return Written(len(rows) - refused, refused)

    def _has(self, identifier: str) -> bool:
        found = self._connection.execute(f"SELECT 1 FROM {TABLE} WHERE id = ?", (identifier,))  # noqa: S608
        return found.fetchone() is not None

    def _check_file(self) -> None:
        # SQLite would go on writing to a file that was deleted or replaced, and nobody would ever read it.
        if self._path.stat().st_ino != self._inode:
            raise StoreError("the ledger's file was replaced", advice="nothing: it is opened anew")


def _ensure_schema(connection: sqlite3.Connection, path: Path) -> None:
    version = _version_of(connection)
    if version is not None and version >= HEAD:
        return
    if version is None:
        with connection:
            connection.execute("BEGIN IMMEDIATE")  # proxies that start together take turns
            if _version_of(connection) is None:
                _create(connection)
        return
    from proxy.ledger.migrate import upgrade_file  # noqa: PLC0415 - hardly ever needed

    upgrade_file(path)


def _version_of(connection: sqlite3.Connection) -> str | None:
    """The version stamped on this database; None for one without a ledger."""
    is_there = connection.execute(
        "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = ?", (VERSION_TABLE,)
    ).fetchone()
    if is_there is None:
        return None
    found: tuple[str] | None = connection.execute(f"SELECT version_num FROM {VERSION_TABLE}").fetchone()  # noqa: S608
    return found[0] if found is not None else None


def _create(connection: sqlite3.Connection) -> None:
    for statement in SCHEMA.read_text("utf-8").split(";\n"):
        if statement.strip():
            connection.execute(statement)
    connection.execute(f"INSERT INTO {VERSION_TABLE} (version_num) VALUES (?)", (HEAD,))  # noqa: S608
