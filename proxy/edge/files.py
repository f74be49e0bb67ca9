"""Files that appear whole or not at all, with the permissions they are meant to have whatever the umask says."""

import contextlib
import fcntl
import os
import secrets
from collections.abc import Iterator
from pathlib import Path

PRIVATE = 0o600
PUBLIC = 0o644


def write_whole(path: Path, content: bytes, mode: int) -> None:
    """Put `content` at `path` in one step: a reader sees the old file or the new one. Raises OSError that names it."""
    scratch = path.with_name(f".{path.name}.{secrets.token_hex(6)}")
    descriptor = os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, PRIVATE)
    try:
        with os.fdopen(descriptor, "wb") as file:
            os.fchmod(file.fileno(), mode)
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        scratch.replace(path)
    except OSError as failure:  # of a full disk only the number is told
        scratch.unlink(missing_ok=True)
        raise OSError(failure.errno, failure.strerror, str(path)) from failure
    except BaseException:
        scratch.unlink(missing_ok=True)
        raise


def write_changed(path: Path, content: bytes) -> bool:
    """Put a public file at `path` unless it already says this. True when it was written. Raises OSError."""
    with contextlib.suppress(FileNotFoundError):
        if path.read_bytes() == content:
            return False
    write_whole(path, content, PUBLIC)
    return True


@contextlib.contextmanager
def locked(directory: Path) -> Iterator[None]:
    """Hold the directory against other processes that lock it too.

    The lock is on the directory itself: no file is left behind, and a read-only directory can be locked as well.
    """
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
