"""Puts a corrupt SQLite ledger aside, so that a new one can be begun and the old one looked at later.

Rule: only what is a ledger by its first bytes or by its name is moved: a URL that points at some other file by mistake
must not rename that file.
"""

from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Final

_MAGIC: Final = b"SQLite format 3\0"
_SUFFIXES: Final = frozenset({".sqlite", ".sqlite3", ".db"})


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
