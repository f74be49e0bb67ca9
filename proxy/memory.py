"""What the process does for its memory once it has started.

Rule: nothing here changes what the proxy does; what the system does not have (glibc, /proc) is left out.
"""

import ctypes
import gc
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

_COLLECT_AFTER = 20_000  # objects; calls make little garbage in cycles
_RUSH = 64  # connections: with fewer it is not worth the while
_MADV_DONTNEED = 4
_MAPS = Path("/proc/self/smaps")


def settle(*, collect: bool = True) -> None:
    """What is there now stays for good: the collector need not look at it again, nor come often. What the start alone
    needed goes back to the system. A collection stops everything for some ten milliseconds."""
    if collect:
        gc.collect()
    gc.freeze()
    gc.set_threshold(_COLLECT_AFTER, 10, 10)
    trim()
    with suppress(OSError, AttributeError):
        for start, size in list(_clean_code(_MAPS.read_text())):
            ctypes.CDLL(None).madvise(ctypes.c_void_p(start), ctypes.c_size_t(size), _MADV_DONTNEED)


def trim() -> None:
    """What the C library holds free goes back to the system: some milliseconds."""
    with suppress(AttributeError):
        ctypes.CDLL(None).malloc_trim(0)


class Tide:
    """Gives memory back once a rush of connections is over. `give_back` is `trim`."""

    def __init__(self, give_back: Callable[[], None] = trim) -> None:
        self._give_back = give_back
        self._peak = 0

    def at(self, connections: int) -> None:
        """So many are open now; to be told every second or so."""
        self._peak = max(self._peak, connections)
        if self._peak >= _RUSH and connections <= self._peak // 2:
            self._peak = connections
            self._give_back()


def _clean_code(maps: str) -> Iterator[tuple[int, int]]:
    """Start and size of the mapped files' executable parts. Read again from the page cache where it is needed again;
    half of it (parsers of certificates, of settings, of schemas) runs once. What was changed in memory is no file's."""
    start = size = 0
    for line in maps.splitlines():
        words = line.split()
        if not words[0].endswith(":"):
            bounds, rights, _, _, inode = words[:5]
            first, _, end = bounds.partition("-")
            is_code = rights == "r-xp" and inode != "0"
            start, size = (int(first, 16), int(end, 16) - int(first, 16)) if is_code else (0, 0)
        elif words[0] == "Anonymous:" and size and words[1] == "0":
            yield start, size
