"""The lock between processes: waited for with a deadline, and freed when its holder gives it back or dies."""

import asyncio
import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator

from proxy.stores.lock import FileLock

_HOLDER = """
import fcntl, sys
for line in sys.stdin:
    fcntl.lockf(int(sys.argv[1]), fcntl.LOCK_EX if line == "take\\n" else fcntl.LOCK_UN, 1, 7)
    print(flush=True)
"""


class Holder:
    """Another process that takes the lock and gives it back when it is told to."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self.process = process

    def does(self, what: str) -> None:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(what.encode() + b"\n")
        self.process.stdin.flush()
        assert self.process.stdout.readline() == b"\n"


@contextlib.contextmanager
def other_process() -> Iterator[tuple[Holder, FileLock]]:
    descriptor = os.memfd_create("lock")
    command = [sys.executable, "-c", _HOLDER, str(descriptor)]
    with subprocess.Popen(command, pass_fds=[descriptor], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        try:
            yield Holder(process), FileLock(descriptor, 7)
        finally:
            process.kill()
            os.close(descriptor)


async def test_it_is_held_by_one_process_at_a_time() -> None:
    with other_process() as (other, lock):
        assert lock.try_acquire()
        lock.release()
        other.does("take")
        assert not lock.try_acquire()
        assert not await lock.acquire(0.01)
        assert not lock.acquire_blocking(0.01)
        other.does("give back")
        assert await lock.acquire(0.01)


async def test_who_waits_gets_it_when_it_is_given_back() -> None:
    with other_process() as (other, lock):
        other.does("take")
        waiting = asyncio.ensure_future(lock.acquire(20))
        await asyncio.sleep(0)
        other.does("give back")
        assert await waiting


async def test_the_kernel_frees_it_when_its_holder_is_killed() -> None:
    with other_process() as (other, lock):
        other.does("take")
        assert not lock.try_acquire()
        other.process.kill()
        other.process.wait()
        assert lock.acquire_blocking(20)


def test_other_bytes_of_the_file_are_other_locks() -> None:
    with other_process() as (other, lock):
        other.does("take")
        assert FileLock(lock.descriptor, 8).try_acquire()
