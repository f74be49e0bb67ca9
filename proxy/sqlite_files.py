"""What all SQLite files of ours have in common: they are private, and a corrupt one is set aside.

Set aside means renamed, so that a new one can be begun and the old one looked at later. Rule: only what is a database
of ours by its first bytes or by its name is moved: a setting that points at some other file by mistake must not rename
that file.
"""

import os
import sqlite3
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Final

_MAGIC: Final = b"SQLite format 3\0"
_SUFFIXES: Final = frozenset({".sqlite", ".sqlite3", ".db"})
_CORRUPT_CODES: Final = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})
_PRIMARY_CODE: Final = 0xFF  # SQLite's extended codes hold the primary one in their lowest byte


def make_private(path: Path) -> None:
    """Create the file and its directory, if need be, for nobody else to read. Raises OSError."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    # An existing file is never opened here: closing it again would drop this process's SQLite locks on it.
    with suppress(FileExistsError):
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
    # A file laid by someone else keeps the mode they gave it.
    with suppress(PermissionError):
        path.chmod(0o600)


def is_corrupt(error: Exception) -> bool:
    """Does this failure say that the file is damaged, or no database at all?"""
    code = getattr(error, "sqlite_errorcode", None)
    return isinstance(code, int) and code & _PRIMARY_CODE in _CORRUPT_CODES


def reason_of(error: BaseException) -> str:
    """The failure of a driver or of the file system in one short line."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    lines = str(error).splitlines()
    return lines[0][:200] if lines else type(error).__name__


def set_aside(path: Path, now: datetime) -> Path | None:
    """Rename the database with its write-ahead log; returns the new path, or None when it was left alone."""
    target = path.with_name(f"{path.name}.corrupt-{now:%Y%m%dT%H%M%S}")
    if target.exists():
        return None  # set aside twice within a second: the disk is at fault, and a retry later is right
    try:
        if path.suffix not in _SUFFIXES and not _is_sqlite(path):
            return None
        path.rename(target)
    except OSError:
        return None
    for ending in ("-wal", "-shm"):
        with suppress(OSError):
            path.with_name(path.name + ending).rename(target.with_name(target.name + ending))
    return target


def _is_sqlite(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(len(_MAGIC)) == _MAGIC
