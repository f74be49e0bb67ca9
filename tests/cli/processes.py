"""Whole commands as processes of their own, as a shell starts them."""

import contextlib
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

DEADLINE_S = 60.0


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-P", "-m", "proxy", *arguments]


def environment(home: Path) -> dict[str, str]:
    """Nothing of the developer's own settings and proxies."""
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "PYTHONPATH": str(Path(__file__).parents[2]),
        "PYTHONDONTWRITEBYTECODE": "1",
    }


def run(home: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """A command, to its end."""
    process = start(home, *arguments)
    try:
        output, errors = process.communicate(timeout=DEADLINE_S)
    finally:
        end(process)
    return subprocess.CompletedProcess(process.args, process.returncode, output, errors)


def start(home: Path, *arguments: str) -> subprocess.Popen[str]:
    """A command that goes on. The caller ends it."""
    return subprocess.Popen(
        command(*arguments),
        env=environment(home),
        cwd=home,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def wait_until(is_so: Callable[[], bool], what: str) -> None:
    """Look again and again until it is so."""
    give_up_at = time.monotonic() + DEADLINE_S
    while not is_so():
        if time.monotonic() > give_up_at:
            raise AssertionError(f"in vain: {what}")
        time.sleep(0.02)


def is_listening(url: str) -> bool:
    """Does anyone accept connections at http://HOST:PORT?"""
    host, _, port = url.removeprefix("http://").rpartition(":")
    try:
        socket.create_connection((host, int(port)), timeout=1).close()
    except OSError:
        return False
    return True


def end(process: subprocess.Popen[str]) -> tuple[str, str]:
    """Make sure that it has ended, and close its pipes."""
    if process.poll() is None:
        process.kill()
    with contextlib.suppress(ValueError):  # the pipes were read and closed before
        return process.communicate(timeout=DEADLINE_S)
    return "", ""


def python(*lines: str) -> Sequence[str]:
    """A small program, as arguments of exec."""
    return ("--", sys.executable, "-c", "\n".join(lines))
