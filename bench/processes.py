"""Processes of a run: started on one core, looked at through /proc, always stopped.

Rules: Linux only. CPU time and memory are those of a process with all its threads and children. A process that we
started dies with us, even if we are killed.
"""

import contextlib
import ctypes
import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from bench.failures import BenchFailed
from proxy.children import end_process

PROXY_CORE: Final = 0
LOAD_CORE: Final = 1
_READY_S: Final = 120.0
_STOP_S: Final = 40.0
_PR_SET_PDEATHSIG: Final = 1
_SCHEDULED: Final = 2  # with the pid, a process's own clock: clock_getcpuclockid(3); /proc counts in steps of 10 ms


def pin(core: int | frozenset[int]) -> None:
    """Bind the calling process to a core or several, where the machine has that many."""
    cores = {core} if isinstance(core, int) else core
    os.sched_setaffinity(0, {each % (os.cpu_count() or 1) for each in cores})


def children(pid: int) -> list[int]:
    """The process and all that descend from it."""
    found = [pid]
    for parent in found:
        for task in Path(f"/proc/{parent}/task").glob("*/children"):
            with contextlib.suppress(OSError):
                found += map(int, task.read_text().split())
    return found


def cpu_seconds(pid: int) -> float:
    """User and system time so far, of threads that have ended as well, to the nanosecond."""
    total = 0.0
    for each in children(pid):
        with contextlib.suppress(OSError):
            total += time.clock_gettime(~each << 3 | _SCHEDULED)
    return total


def resident_mib(pid: int) -> float:
    """Resident memory now."""
    total = 0
    for each in children(pid):
        with contextlib.suppress(OSError):
            for line in Path(f"/proc/{each}/status").read_text().splitlines():
                if line.startswith("VmRSS:"):
                    total += int(line.split()[1])
    return total / 1024


class Program:
    """A program of ours on a core of its own, or on several. Leaving it stops it."""

    def __init__(
        self,
        command: Sequence[str],
        *,
        core: int | frozenset[int],
        log: Path,
        variables: Mapping[str, str] | None = None,
        user: str | None = None,
        death_signal: signal.Signals = signal.SIGKILL,
    ) -> None:
        """`user`: another one to run it as. `death_signal`: what it gets when we die; SIGKILL would leave children."""
        libc = ctypes.CDLL(None)
        parent = os.getpid()

        def prepare() -> None:
            libc.prctl(_PR_SET_PDEATHSIG, death_signal)
            pin(core)
            if os.getppid() != parent:
                os._exit(1)

        self._log = log
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env={**os.environ, "PYTHONDONTWRITEBYTECODE": "", **(variables or {})},
                preexec_fn=prepare,  # noqa: PLW1509 - we have no threads
                user=user,
                start_new_session=True,  # Ctrl-C is for us: we stop it in order
            )
        self.started_at = time.perf_counter()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, failure: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def wait_until(self, is_ready: Callable[[], bool], within_s: float = _READY_S) -> float:
        """Wait until it is; returns the seconds since its start. Raises BenchFailed with the end of its output."""
        give_up_at = time.perf_counter() + within_s
        while time.perf_counter() < give_up_at and self._process.poll() is None:
            if is_ready():
                return time.perf_counter() - self.started_at
            time.sleep(0.005)
        self.stop()
        raise BenchFailed(f"{self._process.args!r} did not start:\n{self._log.read_text(errors='replace')[-2000:]}")

    def stop(self) -> None:
        """Ask it to end, then make it. May be called again."""
        end_process(self._process, _STOP_S)
