"""A proxy of its own for one program: started, waited for, stopped.

Rules: the child gets a session of its own, so that Ctrl-C in the terminal stops the program first; it holds the end
of a pipe, so that it never outlives this process; its logs go to a file, whose end explains a failed start.
"""

import os
import secrets
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Final

from proxy import runtime
from proxy.children import end_process
from proxy.cli.failures import CommandFailed
from proxy.runtime import Runtime

READY_S: Final = 60.0  # a first start makes a CA and a database; a busy machine can take its time
_POLL_S: Final = 0.02
_STOP_MARGIN_S: Final = 10.0  # on top of the drain, before the child is killed
_LOG_LIMIT_BYTES: Final = 4 * 1024 * 1024  # a longer log is begun anew
_TAIL_LINES: Final = 15


class ChildProxy:
    """A running `skinflint run`. A context manager: leaving it stops the child, however that happens."""

    def __init__(self, arguments: Sequence[str], environ: Mapping[str, str], log_file: Path, drain_s: float) -> None:
        """Start it. Raises OSError when the log cannot be written."""
        self.log_file = log_file
        self._drain_s = drain_s
        self._log_start = _prepare(log_file)
        # Beside the log, and not the usual name: other proxies may run with this data directory.
        self._runtime_file = log_file.with_name(f"exec-{os.getpid()}-{secrets.token_hex(4)}.json")
        command = _command([*arguments, "--lifeline", "--runtime-file", str(self._runtime_file)])
        with log_file.open("ab") as output:
            self._process = subprocess.Popen(  # noqa: S603 - our own program
                command,
                env=_own_environment(environ),
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )

    def __enter__(self) -> "ChildProxy":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, failure: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def wait_until_ready(self, deadline_s: float = READY_S) -> Runtime:
        """Where it listens. Raises CommandFailed with the log's end when it ends first, or takes too long."""
        give_up_at = time.monotonic() + deadline_s
        while time.monotonic() < give_up_at:
            if (status := self._process.poll()) is not None:
                raise CommandFailed(f"the proxy ended with status {status} before it was ready{self._tail()}")
            if found := runtime.read_file(self._runtime_file):
                return found
            time.sleep(_POLL_S)
        raise CommandFailed(f"the proxy was not ready after {deadline_s:g} seconds{self._tail()}")

    def has_ended(self) -> bool:
        """True when it is not running any more."""
        return self._process.poll() is not None

    def stop(self) -> None:
        """Let it finish what it does, and wait for its end. May be called again."""
        end_process(self._process, self._drain_s + _STOP_MARGIN_S)
        self._runtime_file.unlink(missing_ok=True)  # it has taken it away itself, unless it was killed

    def _tail(self) -> str:
        try:
            with self.log_file.open("rb") as log:
                log.seek(self._log_start)
                lines = log.read().decode(errors="replace").splitlines()
        except OSError:
            lines = []
        told = "\n".join(f"  {line}" for line in lines[-_TAIL_LINES:])
        return f"; the end of {self.log_file}:\n{told}" if told else f"; it left nothing in {self.log_file}"


def _command(arguments: Sequence[str]) -> list[str]:
    # -P: a folder named `proxy` in the working directory must not be taken for ours.
    return [sys.executable, "-P", "-m", "proxy", "run", *arguments]


def _own_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """The environment for our own program: modules come from where this one came from, not from the user's paths."""
    return {**environ, "PYTHONPATH": str(Path(__file__).parents[2])}


def _prepare(log_file: Path) -> int:
    """Make sure there is a log that is not too long. Returns where our part of it begins."""
    descriptor = os.open(log_file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        if os.fstat(descriptor).st_size > _LOG_LIMIT_BYTES:
            os.ftruncate(descriptor, 0)
        return os.fstat(descriptor).st_size
    finally:
        os.close(descriptor)
