"""Starts many proxies quickly: one process imports everything, and each proxy is forked from it.

Rules: a fork runs the command line's own `main` with arguments, environment, directory and output of its own, and ends
as any interpreter does; only the imports are shared, which are four fifths of a start's time. Tests about starting and
stopping use processes from scratch.
"""

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from tests.support.processes import ROOT, RunningProcess, module

_WAIT_S = 30.0


class Forked:
    """A forked process, as far as subprocess.Popen is used of it."""

    def __init__(self, args: Sequence[str], pid: int) -> None:
        self.args = args
        self.pid = pid
        self.returncode: int | None = None
        self.ended = threading.Event()

    def poll(self) -> int | None:
        """Its exit status; None while it runs."""
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Wait for its end. Raises subprocess.TimeoutExpired."""
        if not self.ended.wait(timeout):
            raise subprocess.TimeoutExpired(list(self.args), timeout or 0.0)
        assert self.returncode is not None
        return self.returncode

    def send_signal(self, number: int) -> None:
        """Send a signal, unless it has ended."""
        if self.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def kill(self) -> None:
        """SIGKILL."""
        self.send_signal(signal.SIGKILL)


class Zygote:
    """The process that forks. Close it at the end."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            module("tests.support.zygote"),
            env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,
        )
        self._started: list[int] = []
        self._news = threading.Condition()
        self._forked: dict[int, Forked] = {}
        self._statuses: dict[int, int] = {}
        self._reader = threading.Thread(target=self._read, name="zygote", daemon=True)
        self._reader.start()

    def start(self, arguments: Sequence[str], directory: Path, environ: Mapping[str, str], log: Path) -> Forked:
        """`skinflint` with these arguments, in this directory."""
        order = {"arguments": list(arguments), "directory": str(directory), "environ": dict(environ), "log": str(log)}
        pipe = self._process.stdin
        assert pipe is not None
        with self._news:
            pipe.write(json.dumps(order).encode() + b"\n")
            pipe.flush()
            assert self._news.wait_for(lambda: self._started, _WAIT_S), "the zygote is gone"
            forked = Forked(arguments, self._started.pop())
            self._forked[forked.pid] = forked
            if forked.pid in self._statuses:
                self._end(forked.pid, self._statuses[forked.pid])
        return forked

    def close(self) -> None:
        """End the zygote. What it forked has been stopped by then."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(_WAIT_S)
        self._reader.join(_WAIT_S)
        assert self._process.stdout is not None
        self._process.stdout.close()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            told = json.loads(line)
            with self._news:
                if "status" in told:
                    self._end(told["pid"], told["status"])
                else:
                    self._started.append(told["pid"])
                self._news.notify_all()

    def _end(self, pid: int, status: int) -> None:
        self._statuses[pid] = status
        if (forked := self._forked.pop(pid, None)) is not None:
            forked.returncode = status
            forked.ended.set()


@contextlib.contextmanager
def forked(
    zygote: Zygote, arguments: Sequence[str], directory: Path, environ: Mapping[str, str]
) -> Iterator[RunningProcess]:
    """Like `tests.support.processes.running`, for the command line alone."""
    directory.mkdir(parents=True, exist_ok=True)
    log = directory / "process.log"
    process = RunningProcess(zygote.start(arguments, directory, environ, log), log)  # type: ignore[arg-type]
    try:
        yield process
    finally:
        process.stop()


def _tell(**news: int) -> None:
    os.write(1, json.dumps(news).encode() + b"\n")


def _reap(_number: int, _frame: object) -> None:
    with contextlib.suppress(ChildProcessError):
        while (ended := os.waitpid(-1, os.WNOHANG))[0]:
            _tell(pid=ended[0], status=os.waitstatus_to_exitcode(ended[1]))


def _become(order: dict[str, object]) -> None:
    """In the fork: be that process, up to its start."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    os.setsid()
    log = os.open(str(order["log"]), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for source, target in ((nothing, 0), (log, 1), (log, 2)):
        os.dup2(source, target)
    os.close(log)
    os.close(nothing)
    os.chdir(str(order["directory"]))
    environ, arguments = order["environ"], order["arguments"]
    assert isinstance(environ, dict)
    assert isinstance(arguments, list)
    os.environ.clear()
    os.environ.update(environ)
    sys.argv = ["skinflint", *arguments]


def _main() -> None:
    from config.prices import load_prices  # noqa: PLC0415 - the tests' own process needs none of it
    from proxy import cli, process  # noqa: PLC0415
    from proxy.cli import run  # noqa: PLC0415
    from proxy.ledger.prices import PriceBook  # noqa: PLC0415

    assert process
    assert run
    PriceBook(load_prices()).warm()
    signal.signal(signal.SIGCHLD, _reap)
    while line := sys.stdin.buffer.readline():
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGCHLD])
        child = os.fork()
        if child == 0:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGCHLD])
            _become(json.loads(line))
            cli.main()
            sys.exit(0)
        _tell(pid=child)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGCHLD])


if __name__ == "__main__":
    _main()
