"""The proxy under `valgrind --tool=callgrind`, and how many instructions it has executed since a moment.

Rules: nothing is counted until `instrument`; a count begins and ends while the proxy is quiet, when all its threads
sleep and nothing is gathered for the disk any more, so it is the cost of what was asked in between.
Valgrind's files stay in the directory given.
"""

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from bench.budget.totals import total
from bench.contestants import Upstream
from bench.failures import BenchFailed
from bench.processes import PROXY_CORE, Program
from bench.target import Target
from bench.work import HOST
from proxy.runtime import Runtime, read_file
from proxy.stores.disk.writer import GATHER_S

ROUND: Final = 100  # calls of a round, and rows of one write to the ledger
_READY_S: Final = 300.0  # valgrind starts a program some twenty times slower
_CONTROL_S: Final = 60.0
_QUIET_S: Final = 60.0
_IDLE_S: Final = 5.0  # the slowest of the clocks
_LOOK_EVERY_S: Final = 0.005
_GATHERED_S: Final = GATHER_S + 0.3
_QUIET_LOOKS: Final = 4  # one after another: a thread that wakes another one up is seen by one of them
_SETTINGS: Final = ("log.level=warning", f"ledger.batch_rows={ROUND}", "ledger.flush_s=86400")  # by count, not by clock


def is_there() -> bool:
    """Is valgrind installed?"""
    return all(shutil.which(program) for program in ("valgrind", "vgdb"))


class CountedProxy:
    """`skinflint run` under callgrind. Leaving it stops it."""

    def __init__(
        self,
        upstream: Upstream,
        directory: Path,
        *,
        options: Sequence[str] = (),
        variables: dict[str, str] | None = None,
    ) -> None:
        self._directory = directory
        self._dumps = 0
        self._began_at = 0.0
        self._idle_rate = 0.0  # instructions a second of clocks that tick whether or not anything is asked
        self._prefix = f"--vgdb-prefix={directory / 'vgdb'}"
        valgrind = ["valgrind", "--tool=callgrind", "--instr-atstart=no", self._prefix, *options]
        valgrind += [f"--callgrind-out-file={directory / 'counted'}"]
        found = directory / "runtime.json"
        resolve = json.dumps({HOST: f"127.0.0.1:{upstream.port}"})
        command = [*valgrind, sys.executable, str(Path(sys.executable).with_name("skinflint")), "run"]
        command += ["--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--data-dir", str(directory / "data")]
        command += ["--upstream-ca", str(upstream.certificates.ca), "--runtime-file", str(found)]
        for setting in (f"upstream.resolve={resolve}", *_SETTINGS):
            command += ["--set", setting]
        variables = {"PYTHONHASHSEED": "0", **(variables or {})}
        self._program = Program(command, core=PROXY_CORE, log=directory / "log", variables=variables)
        self._program.wait_until(lambda: read_file(found) is not None, within_s=_READY_S)
        self.target = _target(read_file(found))
        self.wait_until_quiet()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, failure: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._program.stop()

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._program.pid

    def instrument(self) -> None:
        """Make counting possible, which makes the proxy several times slower still."""
        self._control("instrumentation on")

    def measure_idle(self) -> None:
        """Find what the passing of time costs, which `end` takes off."""
        self.begin()
        time.sleep(_IDLE_S)
        count, _ = self.end()
        self._idle_rate = count / _IDLE_S

    def begin(self) -> None:
        """Count from here, once the proxy is quiet."""
        self._settle()
        self._control("zero")
        self._began_at = time.monotonic()

    def end(self) -> tuple[float, Path]:
        """Instructions since `begin` until the proxy was quiet, and the file that says where."""
        self._settle()
        idle = self._idle_rate * (time.monotonic() - self._began_at)
        self._control("dump")
        self._dumps += 1
        file = self._directory / f"counted.{self._dumps}"
        return total(file.read_text(errors="replace")) - idle, file

    def _settle(self) -> None:
        """Until what was asked is done, with what the disk tier writes behind it."""
        self.wait_until_quiet()
        time.sleep(_GATHERED_S)
        self.wait_until_quiet()

    def wait_until_quiet(self) -> None:
        """Until all threads sleep. Raises BenchFailed when they never do."""
        give_up_at = time.monotonic() + _QUIET_S
        looks = 0
        while looks < _QUIET_LOOKS:
            if time.monotonic() > give_up_at:
                raise BenchFailed(f"the proxy was still busy after {_QUIET_S:g} s")
            time.sleep(_LOOK_EVERY_S)
            looks = looks + 1 if _sleeps(self.pid) else 0

    def _control(self, command: str) -> None:
        told = subprocess.run(
            ["vgdb", f"--pid={self.pid}", self._prefix, *command.split()],
            capture_output=True,
            text=True,
            timeout=_CONTROL_S,
            check=False,
        )
        if told.returncode:
            raise BenchFailed(f"valgrind did not take {command!r}: {told.stderr[-500:]}")


def _sleeps(pid: int) -> bool:
    states = []
    for stat in Path(f"/proc/{pid}/task").glob("*/stat"):
        try:
            states.append(stat.read_text().rpartition(")")[2].split()[0])
        except OSError:  # that thread has just ended
            return False
    return all(state == "S" for state in states)


def _target(runtime: Runtime | None) -> Target:
    if runtime is None:
        raise BenchFailed("the proxy ended as soon as it was ready")
    host, _, port = runtime.listeners[0].address.rpartition(":")
    return Target((host, int(port)), is_proxy=True, ca=runtime.ca, pid=runtime.pid, admin=runtime.admin)
