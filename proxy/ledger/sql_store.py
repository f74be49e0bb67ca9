"""The ledger in any database that SQLAlchemy knows: PostgreSQL where it is shared. See store.py for the rules."""

from collections.abc import Sequence
from contextlib import ExitStack
from typing import Self

from sqlalchemy import Engine, delete, select
from sqlalchemy.exc import IntegrityError, InterfaceError, ProgrammingError

from proxy.exchange.record import CallRecord
from proxy.ledger.engine import open_writer
from proxy.ledger.migrate import ensure_schema
from proxy.ledger.rows import row_mapping
from proxy.ledger.schema import calls
from proxy.ledger.sql_faults import ROW_FAULTS, STORE_FAULTS, translate
from proxy.ledger.store import Written


class SqlStore:
    """A RowStore on SQLAlchemy."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._insert = calls.insert()
        self._row_faults: tuple[type[Exception], ...] = ROW_FAULTS
        if engine.dialect.name == "sqlite":  # says so when it cannot bind a value; elsewhere the statement is at fault
            self._row_faults = (*ROW_FAULTS, InterfaceError, ProgrammingError)

    @classmethod
    def open(cls, url: str) -> Self:
        """Open the ledger at `url`, created and brought to the newest version if needed. Raises StoreError."""
        try:
            with ExitStack() as on_failure:
                engine = open_writer(url)
                on_failure.callback(engine.dispose)
                ensure_schema(engine)
                store = cls(engine)
                on_failure.pop_all()
                return store
        except STORE_FAULTS as error:
            raise translate(error) from error

    def write(self, rows: Sequence[CallRecord]) -> Written:
        """Append rows; one by one when the database refuses something in them."""
        try:
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
        """Close all connections."""
        self._engine.dispose()

    def _append(self, rows: Sequence[CallRecord]) -> None:
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
