"""Chooses the store for a ledger's URL, and imports only that one."""

from proxy.ledger.faults import StoreError
from proxy.ledger.location import is_file, sqlite_path
from proxy.ledger.sqlite_store import ConnectHook, SqliteStore
from proxy.ledger.store import RowStore


def open_store(url: str, on_connect: ConnectHook | None = None) -> RowStore:
    """Open the ledger at `url`, created and brought to the newest version if needed; `on_connect` sees the connection
    to an SQLite file. Raises StoreError."""
    path = sqlite_path(url) if is_file(url) else None
    if path is not None:
        return SqliteStore.open(path, on_connect)
    try:
        from proxy.ledger.sql_store import SqlStore  # noqa: PLC0415 - 12 MB and 0.2 s
    except ImportError as error:
        raise StoreError("SQLAlchemy cannot be imported", advice="reinstall Skinflint") from error
    return SqlStore.open(url)
