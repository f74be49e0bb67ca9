"""What the process holds at this moment: memory, open files, threads and tasks by kind. What never falls back, leaks.

Rules: read when somebody asks, never on a call's path; the kernel's figures are None where there is no /proc. Tasks
have few names here (see proxy/tasks.py's callers); those of libraries count together as `other`.
"""

import asyncio
import contextlib
import os
import threading
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Final

KINDS: Final = (
    "exchange",  # a call being answered
    "flight",  # an upstream call that several may share
    "upstream call",
    "tunnel",  # a client relayed byte for byte
    "relay drain",
    "cache put",
    "dial",  # a connection to an origin being made
    "upload",  # the body of a request that is relayed while it arrives
    "look up",
    "close origin",
    "pool clock",  # one for each pool: a reload of `upstream` retires one
)
OTHER: Final = "other"


@dataclass(frozen=True, slots=True)
class Held:
    """What there is now."""

    resident_bytes: int | None
    open_files: int | None
    threads: int
    kernel_threads: int | None  # those of libraries written in Rust or C among them
    tasks: dict[str, int]  # by kind; every kind is there


def look() -> Held:
    """To be called on the event loop's thread."""
    return Held(
        resident_bytes=_resident_bytes(),
        open_files=_entries("/proc/self/fd"),
        threads=threading.active_count(),
        kernel_threads=_entries("/proc/self/task"),
        tasks=tasks_by_kind(),
    )


def tasks_by_kind() -> dict[str, int]:
    """How many tasks of each kind have not ended."""
    counts = Counter(task.get_name() for task in asyncio.all_tasks())
    known = {kind: counts.pop(kind, 0) for kind in KINDS}
    return {**known, OTHER: counts.total()}


def _resident_bytes() -> int | None:
    with contextlib.suppress(OSError):
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    return None


def _entries(directory: str) -> int | None:
    with contextlib.suppress(OSError):
        return sum(1 for _ in Path(directory).iterdir())
    return None
