"""Processes for tests: started with a clean environment, their output captured, waited for, and always stopped.

Rules: nothing sleeps for a guessed time; `wait_until` looks again until it is so or its deadline has passed, and then
says what was waited for and what the process had printed.
"""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
DEADLINE_S = 60.0
_POLL_S = 0.02
_STOP_S = 15.0


@dataclass(frozen=True, slots=True)
class RunningProcess:
    """A process whose output goes to a file."""

    popen: subprocess.Popen[bytes]
    log: Path

    @property
    def output(self) -> str:
        """All that it has printed so far, errors included."""
        return self.log.read_text(errors="replace")

    def is_running(self) -> bool:
        """True until it has ended."""
        return self.popen.poll() is None

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Ask it to end, make it end after a while, and return its status."""
        if self.is_running():
            self.popen.send_signal(number)
        try:
            return self.popen.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            self.popen.kill()
            return self.popen.wait()


def environment(home: Path, **more: str) -> dict[str, str]:
    """An environment without the developer's own settings, keys and proxies."""
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "PYTHONPATH": str(ROOT),
        "PYTHONDONTWRITEBYTECODE": "1",
        **more,
    }


@contextlib.contextmanager
def running(
    command: Sequence[str], directory: Path, environ: Mapping[str, str] | None = None
) -> Iterator[RunningProcess]:
    """Run a command in `directory` until the block is left."""
    directory.mkdir(parents=True, exist_ok=True)
    log = directory / "process.log"
    with log.open("ab") as output:
        popen = subprocess.Popen(
            command,
            cwd=directory,
            env=dict(environ if environ is not None else environment(directory)),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    process = RunningProcess(popen, log)
    try:
        yield process
    finally:
        process.stop()


def module(name: str, *arguments: str) -> list[str]:
    """The command that runs one of our modules."""
    return [sys.executable, "-P", "-m", name, *arguments]


def wait_until(
    is_so: Callable[[], bool], what: str, *, process: RunningProcess | None = None, deadline_s: float = DEADLINE_S
) -> None:
    """Look again and again until it is so. Fails when the deadline has passed, or the process has ended before."""
    give_up_at = time.monotonic() + deadline_s
    while not is_so():
        is_gone = process is not None and not process.is_running()
        if is_gone or time.monotonic() > give_up_at:
            said = f"; the process said:\n{process.output}" if process else ""
            raise AssertionError(f"waited in vain until {what}{said}")
        time.sleep(_POLL_S)


def free_port() -> int:
    """A loopback port that nobody listens on now. Port 0 is better wherever the port can be asked for afterwards."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def is_alive(pid: int) -> bool:
    """True while there is a process with this id that has not ended."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    stat = Path(f"/proc/{pid}/stat")
    return not stat.exists() or stat.read_text().rpartition(")")[2].split()[0] != "Z"


def clients_python() -> Path | None:
    """The interpreter that has the providers' SDKs: $SKINFLINT_TEST_CLIENTS, or what `make clients` makes."""
    named = os.environ.get("SKINFLINT_TEST_CLIENTS")
    found = shutil.which(named or str(ROOT / ".venv-clients" / "bin" / "python"))
    return Path(found).absolute() if found else None
