"""The troubles of the disk tier, and of the proxy that writes into it.

Rules: the memory tier is off here, so that every hit is the disk's. Each leaves the disk as it found it, but for what
was broken in the file.
"""

import errno
import os
import time
from pathlib import Path
from typing import Final

from bench.reliability.place import Place
from bench.reliability.replica import Replica
from bench.reliability.trouble import Skipped, Trouble

_PIECE: Final = bytes(65_536)
_PAGE: Final = 4096


def of_disk(replica: Replica, cache: Path, place: Place, seconds: float) -> list[Trouble | Skipped]:
    """`cache`: the tier's file, on a small disk of its own if there is a place."""

    def full() -> float:
        filler = cache.with_name("filler")
        _fill(filler, seconds)
        filler.unlink()
        return time.monotonic()

    def read_only() -> float:
        replica.stop()
        place.make_read_only(cache.parent)
        replica.start()
        time.sleep(seconds)
        place.make_writable(cache.parent)
        return time.monotonic()

    def corrupt() -> float:
        for path in (cache, cache.with_name(f"{cache.name}-wal")):
            _scribble(path)
        time.sleep(seconds)
        return time.monotonic()

    def corrupt_at_rest() -> float:
        replica.stop()
        _scribble(cache)
        replica.start()
        return time.monotonic()

    def kill() -> float:
        for _ in range(2):
            replica.kill()
            replica.start()
            time.sleep(seconds / 2)
        return time.monotonic()

    kill_words = (
        "Calls that the proxy had are cut off, and new ones refused until it runs again. Every answer that it gives "
        "from the file afterwards is whole and right: each carries a checksum."
    )
    on_small_disks = (
        Trouble(
            "disk-full",
            "The cache's disk is full",
            full,
            "Nothing. New answers are not kept on disk; those in memory and in Redis are not concerned.",
            "The file is tried again after 1 s, then more and more rarely, at least once a minute.",
        ),
        Trouble(
            "disk-read-only",
            "The proxy is started with a read-only cache directory, which is made writable later",
            read_only,
            "Calls are refused while the proxy restarts. Then nothing: the tier is down, all else works.",
            "As with a full disk.",
        ),
    )
    return [
        *[Skipped(each.title, place.lacking) if place.lacking else each for each in on_small_disks],
        Trouble(
            "disk-corrupt",
            "cache.sqlite and its journal are overwritten while the proxy runs",
            corrupt,
            "Nothing. What cannot be read, or does not match its checksum, is a miss.",
            "The file is set aside as `cache.sqlite.corrupt-…`, and a new one begun, by the next read or write.",
        ),
        Trouble(
            "disk-corrupt-at-start",
            "cache.sqlite is found overwritten at the start",
            corrupt_at_rest,
            "Calls are refused while the proxy restarts. Then nothing.",
            "The file is set aside when it is opened, or when the first broken page is read.",
        ),
        Trouble("proxy-kill", "kill -9 of the proxy while it writes, twice", kill, kill_words, "By the restart."),
    ]


def _fill(path: Path, seconds: float) -> None:
    """Take all room, and again what is given back, for so long."""
    give_up_at = time.monotonic() + seconds
    with path.open("ab", buffering=0) as file:
        while time.monotonic() < give_up_at:
            try:
                file.write(_PIECE)
            except OSError as failure:
                if failure.errno != errno.ENOSPC:
                    raise
                time.sleep(0.05)


def _scribble(path: Path) -> None:
    """Overwrite every other page but the first."""
    if not path.exists():
        return
    with path.open("r+b") as file:
        for at in range(_PAGE, path.stat().st_size - _PAGE, 2 * _PAGE):
            file.seek(at)
            file.write(os.urandom(_PAGE))
