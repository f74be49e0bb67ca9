"""What may go wrong with the disk tier's file, in words an operator can act on. Nothing here quotes what is stored."""

import sqlite3
from typing import Final

from proxy.sqlite_files import is_corrupt, reason_of

FAULTS: Final = (sqlite3.Error, OSError)

_ADVICE: Final = (
    ("full", "free some disk space, or lower cache.disk.max_bytes"),
    ("no space", "free some disk space, or lower cache.disk.max_bytes"),
    (
        "readonly",
        "make the file and its directory writable for the user that runs Skinflint, or set cache.disk.max_bytes: 0",
    ),
    ("locked", "another process holds the file: end it, or give each proxy a data_dir of its own"),
    ("unable to open", "make sure that its directory exists and is writable, or set cache.disk.max_bytes: 0"),
    ("read-only file system", "name a writable place in cache.disk.path, or set cache.disk.max_bytes: 0"),
    ("permission denied", "name a writable place in cache.disk.path, or set cache.disk.max_bytes: 0"),
    ("disk i/o error", "check the disk or volume that holds the file"),
)


class DiskFault(Exception):
    """The file cannot be used now. `reason` says what happened, `advice` what to do about it."""

    def __init__(self, reason: str, *, advice: str, is_corrupt: bool = False) -> None:
        super().__init__(reason)
        self.reason = reason
        self.advice = advice
        self.is_corrupt = is_corrupt


def translate(error: Exception) -> DiskFault:
    """The failure of SQLite or of the file system as a DiskFault."""
    reason = reason_of(error)
    if is_corrupt(error):
        return DiskFault(reason, advice="it is set aside and a new one begun", is_corrupt=True)
    said = reason.lower()
    advice = next((advice for words, advice in _ADVICE if words in said), "check that the file can be written")
    return DiskFault(reason, advice=advice)
