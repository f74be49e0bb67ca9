"""The private directory of a supervisor and its workers: their sockets, and what outlives a worker.

Rules: mode 0700; what belongs to worker N ends in `.N`; it goes with the last of them, also when the supervisor was
killed. It stands in the data directory, or in the temporary one where that path would be too long for a socket's.
The directory is locked for as long as one of them lives: one without its lock was left behind, and is taken away.
"""

import contextlib
import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

_AT_HOME: Final = "workers-"
_ELSEWHERE: Final = "skinflint-workers-"
_LONGEST: Final = 107 - len("/workers-12345678/123456789.255")  # what the kernel takes, less what comes below


@contextlib.contextmanager
def private_directory(data_dir: Path) -> Iterator[Path]:
    """A directory until the block is left, and those left behind removed. Raises OSError."""
    if len(os.fsencode(data_dir)) <= _LONGEST:
        home, prefix = data_dir, _AT_HOME
    else:
        home, prefix = Path(tempfile.gettempdir()), _ELSEWHERE
    remove_abandoned(home, prefix)
    made, lock = _locked(home, prefix)
    try:
        yield made
    finally:
        shutil.rmtree(made, ignore_errors=True)
        os.close(lock)


def _locked(home: Path, prefix: str) -> tuple[Path, int]:
    while True:
        made = Path(tempfile.mkdtemp(prefix=prefix, dir=home))
        lock = os.open(made, os.O_RDONLY | os.O_DIRECTORY)
        fcntl.flock(lock, fcntl.LOCK_EX)
        if made.exists():
            return made, lock
        os.close(lock)  # another proxy that starts took it for one that was left behind


def remove_abandoned(home: Path, prefix: str) -> None:
    """Take away directories whose processes are gone."""
    for found in home.glob(f"{prefix}*"):
        with contextlib.suppress(OSError):
            lock = os.open(found, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
            try:
                if os.fstat(lock).st_uid == os.geteuid():
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    shutil.rmtree(found, ignore_errors=True)
            finally:
                os.close(lock)


def leave(directory: Path, index: int) -> None:
    """In a worker whose supervisor is gone: take away its own files, and the directory if it was the last."""
    with contextlib.suppress(OSError):
        for own in directory.glob(f"*.{index}"):
            own.unlink(missing_ok=True)
        directory.rmdir()
