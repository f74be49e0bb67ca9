"""What may go wrong with the ledger's database, in words an operator can act on.

Rules: every failure of a driver is translated here, at the edge, and keeps its cause; nothing here quotes a row, a
password or an SQL parameter. A fault of one row (a value that the database refuses) is told from a fault of the store.
SQLAlchemy's failures are in sql_faults.py.
"""

import sqlite3
from typing import Final

from proxy.sqlite_files import is_corrupt, reason_of

# Raised for one value of one row: writing the others may well succeed.
ROW_FAULTS: Final = (
    sqlite3.IntegrityError,
    sqlite3.DataError,
    OverflowError,
    UnicodeError,
    TypeError,
    ValueError,
)

_ADVICE: Final = (
    ("database or disk is full", "free some disk space; the rows wait in memory until then"),
    ("readonly database", "make the file and its directory writable for the user that runs Skinflint"),
    ("database is locked", "another process holds the ledger: end it, or give each proxy a data_dir of its own"),
    ("unable to open database file", "make sure that its directory exists and is writable"),
    ("disk i/o error", "check the disk or volume that holds the ledger"),
)


class StoreError(Exception):
    """The ledger's store cannot be used now. `reason` says what happened, `advice` what to do about it."""

    def __init__(self, reason: str, *, advice: str, is_corrupt: bool = False) -> None:
        super().__init__(reason)
        self.reason = reason
        self.advice = advice
        self.is_corrupt = is_corrupt


class LedgerError(Exception):
    """A report cannot be made. The message is meant for whoever asked for it."""


def translate(error: Exception) -> StoreError:
    """The failure of a driver or of the file system as a StoreError."""
    if is_corrupt(error):
        return StoreError(reason_of(error), advice="it is set aside and a new one begun", is_corrupt=True)
    reason = reason_of(error)
    for words, advice in _ADVICE:
        if words in reason.lower():
            return StoreError(reason, advice=advice)
    return StoreError(reason, advice="check that the database can be reached and written to")
