"""The rows that could not be written when Skinflint stopped: kept in a file, read back at the next start.

Rules: one JSON object a line, mode 0600, never more than `LIMIT_BYTES`. The file is locked while it is written or read
back, and emptied rather than deleted, so that two processes never lose each other's rows. Reading back twice does no
harm: the store knows the identifiers.
"""

import fcntl
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, fields
from itertools import batched
from pathlib import Path
from typing import Final

import orjson

from proxy.exchange.record import CallRecord, Outcome, PromptCache

FILE_NAME: Final = "ledger-spill.jsonl"
LIMIT_BYTES: Final = 256 * 1024 * 1024  # several full queues

_FIELDS: Final = frozenset(field.name for field in fields(CallRecord))


@dataclass(frozen=True, slots=True)
class Replayed:
    """What was read back, and how many lines made no sense."""

    rows: int
    unreadable: int


def spill(path: Path, rows: Iterable[CallRecord]) -> int:
    """Append the rows and make sure they are on the disk; returns how many. Raises OSError."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    written = 0
    with os.fdopen(os.open(path, os.O_CREAT | os.O_APPEND | os.O_WRONLY, 0o600), "ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        room = LIMIT_BYTES - os.fstat(file.fileno()).st_size
        for row in rows:
            line = orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE)
            room -= len(line)
            if room < 0:
                break
            file.write(line)
            written += 1
        file.flush()
        os.fsync(file.fileno())
    return written


def has_spilled(path: Path) -> bool:
    """True when there is something to read back."""
    try:
        return path.stat().st_size > 0
    except OSError:
        return False


def replay(path: Path, batch_rows: int, write: Callable[[Sequence[CallRecord]], None]) -> Replayed:
    """Hand the rows to `write`, batch by batch, and empty the file when all were taken.

    Raises OSError, or what `write` raises; the file then stays as it is.
    """
    rows = unreadable = 0
    with path.open("r+b") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        for lines in batched(file, batch_rows):
            batch = list(_parse(lines))
            unreadable += len(lines) - len(batch)
            rows += len(batch)
            if batch:
                write(batch)
        file.truncate(0)
    return Replayed(rows, unreadable)


def _parse(lines: Iterable[bytes]) -> Iterator[CallRecord]:
    for line in lines:
        try:
            values = orjson.loads(line)
            known = {name: value for name, value in values.items() if name in _FIELDS}
            if (said := known.get("prompt_cache")) is not None:
                known["prompt_cache"] = PromptCache(**said)
            yield CallRecord(**{**known, "outcome": Outcome(known["outcome"])})
        except (ValueError, TypeError, KeyError, AttributeError):
            continue  # a line that a crash cut off
