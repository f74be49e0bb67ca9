"""What a file was when it was last looked at, to see whether it has changed.

Rules: a link that is swapped, as Kubernetes does with ConfigMaps and Secrets, is a change; a file that was only touched
is none. Unless it was changed a moment ago, a file is read only when its time, size or inode is another one.
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_RACY_NS: Final = 2_000_000_000  # a file this young may change again without its time telling


@dataclass(frozen=True, slots=True)
class Sight:
    """A file as it was seen. All zero and empty: it was not there."""

    mtime_ns: int = 0
    size: int = 0
    inode: int = 0
    digest: bytes = b""


def look(file: Path, before: Sight | None, now_ns: int) -> Sight:
    """The file as it is now; `before` is what the last look gave."""
    try:
        status = file.stat()
        stamp = (status.st_mtime_ns, status.st_size, status.st_ino)
        is_settled = now_ns - status.st_mtime_ns > _RACY_NS
        if before is not None and is_settled and stamp == (before.mtime_ns, before.size, before.inode):
            return before
        return Sight(*stamp, hashlib.blake2b(file.read_bytes()).digest())
    except OSError:
        return Sight()
