"""Which worker a process is. A proxy of one process has no place: None.

Rule: what worker N puts into the private directory has a name that ends in `.N`.
"""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class WorkerPlace:
    """One of `count` workers. A replacement takes the place of the worker that it replaces."""

    index: int  # from 0
    count: int
    directory: Path  # private to this supervisor and its workers, mode 0700, short enough for Unix sockets
