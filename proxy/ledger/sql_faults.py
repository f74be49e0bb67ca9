"""SQLAlchemy's failures in the words of faults.py."""

import sqlite3
from typing import Final

from sqlalchemy.exc import ArgumentError, DataError, DBAPIError, IntegrityError, SQLAlchemyError

from proxy.ledger import faults
from proxy.ledger.faults import StoreError

ROW_FAULTS: Final = (*faults.ROW_FAULTS, IntegrityError, DataError)
STORE_FAULTS: Final = (SQLAlchemyError, sqlite3.Error, OSError, ImportError)

_DRIVER: Final = "install the one that ledger.url names: for postgresql+psycopg, skinflint[postgresql]"


def translate(error: Exception) -> StoreError:
    """The failure of SQLAlchemy, of a driver or of the file system as a StoreError."""
    cause = error.orig if isinstance(error, DBAPIError) and error.orig is not None else error
    if isinstance(cause, ImportError):
        return StoreError("the database driver is not installed", advice=_DRIVER)
    if isinstance(cause, ArgumentError):
        return StoreError("ledger.url is not a database URL", advice="write it as sqlite:////path/to/ledger.sqlite")
    return faults.translate(cause if isinstance(cause, Exception) else error)
