"""Database engines: one that writes the ledger, one that only reads it.

Rules: an SQLite ledger is a file of mode 0600 in WAL mode, so that reports are read while the proxy writes; the reader
cannot change it. Passwords never leave a URL: `safe_name` is what logs and messages show.
"""

import os
import sqlite3
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final
from urllib.parse import quote

from sqlalchemy import URL, Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError
from sqlalchemy.pool import ConnectionPoolEntry, NullPool

from proxy.ledger.faults import LedgerError
from proxy.ledger.schema import dump_json

FILE_NAME: Final = "ledger.sqlite"
BUSY_TIMEOUT_MS: Final = 5_000  # a report, a migration or a second proxy may hold the lock for a moment
WAL_LIMIT_BYTES: Final = 16 * 1024 * 1024  # what the write-ahead log shrinks to after a checkpoint

type ConnectHook = Callable[[sqlite3.Connection], None]


def default_url(data_dir: Path) -> str:
    """The URL of the SQLite ledger in a data directory."""
    path = data_dir.expanduser() / FILE_NAME
    return URL.create("sqlite", database=str(path)).render_as_string(hide_password=False)


def sqlite_path(url: str) -> Path | None:
    """The file behind an SQLite URL; None for other databases and for SQLite in memory. Raises ValueError."""
    parsed = _parse(url)
    if parsed.get_backend_name() != "sqlite" or not parsed.database or parsed.database == ":memory:":
        return None
    return Path(parsed.database).expanduser()


def safe_name(url: str) -> str:
    """How logs and messages name this ledger: its path, or its URL without the password. Raises ValueError."""
    path = sqlite_path(url)
    return str(path) if path is not None else _parse(url).render_as_string(hide_password=True)


def _parse(url: str) -> URL:
    try:
        return make_url(url)
    except (ArgumentError, ValueError):
        # Not quoted, nor chained: it may hold a password.
        raise ValueError("not a database URL; write it as sqlite:////path/to/ledger.sqlite") from None


def open_writer(url: str, on_connect: ConnectHook | None = None) -> Engine:
    """An engine that may write. Creates the SQLite file and its directory; `on_connect` sees each SQLite connection.

    Raises OSError, ImportError or SQLAlchemyError.
    """
    path = sqlite_path(url)
    if path is None:
        engine = create_engine(url, hide_parameters=True, json_serializer=dump_json)
    else:
        _make_private(path)
        engine = create_engine(make_url(url).set(database=str(path)), hide_parameters=True, json_serializer=dump_json)

    if engine.dialect.name == "sqlite":

        def configure(connection: sqlite3.Connection, _entry: ConnectionPoolEntry) -> None:
            for pragma in (
                f"busy_timeout={BUSY_TIMEOUT_MS}",
                "journal_mode=WAL",
                "synchronous=NORMAL",  # with WAL, a crash of the machine may lose the last second but never corrupts
                f"journal_size_limit={WAL_LIMIT_BYTES}",
            ):
                connection.execute(f"PRAGMA {pragma}")
            if on_connect is not None:
                on_connect(connection)

        event.listen(engine, "connect", configure)
    return engine


def open_reader(url: str) -> Engine:
    """An engine that cannot write. Raises LedgerError when there is no ledger yet."""
    path = sqlite_path(url)
    if path is None:
        return create_engine(url, hide_parameters=True, isolation_level="REPEATABLE READ", poolclass=NullPool)
    if not path.exists():
        raise LedgerError(f"there is no ledger at {path}: no call has been recorded there yet")

    def connect() -> sqlite3.Connection:
        return sqlite3.connect(f"file:{quote(str(path))}?mode=ro", uri=True, timeout=BUSY_TIMEOUT_MS / 1000)

    return create_engine("sqlite://", creator=connect, hide_parameters=True, poolclass=NullPool)


def _make_private(path: Path) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    # An existing file is never opened here: closing it again would drop this process's SQLite locks on it.
    with suppress(FileExistsError):
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
    # A ledger laid by someone else keeps the mode they gave it.
    with suppress(PermissionError):
        path.chmod(0o600)
