"""The ledger's store: opens the database, appends rows, deletes old ones. Used by one thread at a time.

Rules: every failure comes out as a StoreError; after one the store is closed and opened anew. A row whose identifier is
already there counts as written, so that a batch may be sent twice. A row that the database refuses does not keep the
others from being written.
"""

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, Self

from sqlalchemy import Engine, delete, select
from sqlalchemy.exc import IntegrityError, InterfaceError, ProgrammingError

from proxy.exchange.record import CallRecord
from proxy.ledger.engine import ConnectHook, open_writer, sqlite_path
from proxy.ledger.faults import ROW_FAULTS, STORE_FAULTS, StoreError, translate
from proxy.ledger.migrate import ensure_schema
from proxy.ledger.schema import ROW_COLUMNS, calls, row_mapping, row_values


@dataclass(frozen=True, slots=True)
class Written:
    """What became of a batch. Refused rows will never be accepted: they are lost."""

    rows: int
    refused: int = 0


class RowStore(Protocol):
    """What the writer needs of a store. All three raise StoreError."""

    def write(self, rows: Sequence[CallRecord]) -> Written:
        """Append the rows, all in one transaction, or raise and append none."""
        ...

    def prune(self, before: float, limit: int) -> int:
        """Delete at most `limit` rows that started before `before`; returns how many."""
        ...

    def close(self) -> None:
        """Let the database go. Never raises."""
        ...


class Store:
    """A RowStore on SQLAlchemy."""

    def __init__(self, engine: Engine, path: Path | None) -> None:
        self._engine = engine
        self._path = path
        self._inode = path.stat().st_ino if path is not None else 0
        self._insert = calls.insert()
        self._row_faults: tuple[type[Exception], ...] = ROW_FAULTS
        if engine.dialect.name == "sqlite":  # says so when it cannot bind a value; elsewhere the statement is at fault
            self._row_faults = (*ROW_FAULTS, InterfaceError, ProgrammingError)
        # Drivers that take `?` are handed tuples as they are: a third of the processor time of the general way.
        self._insert_sql = ""
        if engine.dialect.paramstyle == "qmark":
            names = ", ".join(ROW_COLUMNS)
            marks = ", ".join("?" * len(ROW_COLUMNS))
            self._insert_sql = f"INSERT INTO {calls.name} ({names}) VALUES ({marks})"  # noqa: S608 - no input in it

    @classmethod
    def open(cls, url: str, on_connect: ConnectHook | None = None) -> Self:
        """Open the ledger at `url`, created and brought to the newest version if needed. Raises StoreError."""
        try:
            with ExitStack() as on_failure:
                engine = open_writer(url, on_connect)
                on_failure.callback(engine.dispose)
                ensure_schema(engine)
                store = cls(engine, sqlite_path(url))
                on_failure.pop_all()
                return store
        except STORE_FAULTS as error:
            raise translate(error) from error

    def write(self, rows: Sequence[CallRecord]) -> Written:
        """Append rows; one by one when the database refuses something in them."""
        try:
            self._check_file()
            try:
                self._append(rows)
            except self._row_faults:
                return self._append_one_by_one(rows)
            return Written(len(rows))
        except STORE_FAULTS as error:
            raise translate(error) from error

    def prune(self, before: float, limit: int) -> int:
        """Delete the oldest rows that started before `before`."""
        oldest = select(calls.c.id).where(calls.c.started_at < before).order_by(calls.c.started_at).limit(limit)
        try:
            with self._engine.begin() as connection:
                return connection.execute(delete(calls).where(calls.c.id.in_(oldest))).rowcount
        except STORE_FAULTS as error:
            raise translate(error) from error

    def close(self) -> None:
        """Close all connections; SQLite then folds its write-ahead log into the file."""
        self._engine.dispose()

    def _append(self, rows: Sequence[CallRecord]) -> None:
        if self._insert_sql:
            values = [row_values(row) for row in rows]
            with self._engine.begin() as connection:
                connection.exec_driver_sql(self._insert_sql, values)
        else:
            mappings = [row_mapping(row) for row in rows]
            with self._engine.begin() as connection:
                connection.execute(self._insert, mappings)

    def _append_one_by_one(self, rows: Sequence[CallRecord]) -> Written:
        refused = 0
        for row in rows:
            try:
                self._append([row])
            except IntegrityError:
                refused += not self._has(row.id)
            except self._row_faults:
                refused += 1
        return Written(len(rows) - refused, refused)

    def _has(self, identifier: str) -> bool:
        with self._engine.connect() as connection:
            return connection.execute(select(calls.c.id).where(calls.c.id == identifier)).first() is not None

    def _check_file(self) -> None:
        # SQLite would go on writing to a file that was deleted or replaced, and nobody would ever read it.
        if self._path is not None and self._path.stat().st_ino != self._inode:
            raise StoreError("the ledger's file was replaced", advice="nothing: it is opened anew")
