"""SQLAlchemy's engines: one that writes the ledger, one that only reads it.

Rules: an SQLite ledger is read while the proxy writes, and the reader cannot change it. Ledgers in plain SQLite files
are written by sqlite_store.py; the writing engine is for all others.
"""

import sqlite3
from urllib.parse import quote

from sqlalchemy import Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError
from sqlalchemy.pool import ConnectionPoolEntry, NullPool

from proxy.ledger.faults import LedgerError
from proxy.ledger.location import safe_name, sqlite_path
from proxy.ledger.rows import dump_json
from proxy.ledger.sql_faults import translate
from proxy.ledger.sqlite_store import BUSY_TIMEOUT_MS, PRAGMAS
from proxy.sqlite_files import make_private


def open_writer(url: str) -> Engine:
    """An engine that may write. Creates an SQLite file and its directory.

    Raises OSError, ImportError or SQLAlchemyError.
    """
    path = sqlite_path(url)
    if path is None:
        engine = create_engine(url, hide_parameters=True, json_serializer=dump_json)
    else:
        make_private(path)
        engine = create_engine(make_url(url).set(database=str(path)), hide_parameters=True, json_serializer=dump_json)

    if engine.dialect.name == "sqlite":

        def configure(connection: sqlite3.Connection, _entry: ConnectionPoolEntry) -> None:
            for pragma in PRAGMAS:
                connection.execute(f"PRAGMA {pragma}")

        event.listen(engine, "connect", configure)
    return engine


def open_reader(url: str) -> Engine:
    """An engine that cannot write. Raises LedgerError when there is no ledger yet, or no driver for it."""
    path = sqlite_path(url)
    if path is None:
        try:
            return create_engine(url, hide_parameters=True, isolation_level="REPEATABLE READ", poolclass=NullPool)
        except (ImportError, ArgumentError) as error:
            fault = translate(error)
            raise LedgerError(f"cannot read the ledger at {safe_name(url)}: {fault.reason}; {fault.advice}") from error
    if not path.exists():
        raise LedgerError(f"there is no ledger at {path}: no call has been recorded there yet")

    def connect() -> sqlite3.Connection:
        return sqlite3.connect(f"file:{quote(str(path))}?mode=ro", uri=True, timeout=BUSY_TIMEOUT_MS / 1000)

    return create_engine("sqlite://", creator=connect, hide_parameters=True, poolclass=NullPool)
