"""Running the user's program in the foreground, as a shell would: its terminal, its signals, its status."""

import errno
import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from types import FrameType
from typing import Final

from proxy.cli.failures import CommandFailed

NOT_EXECUTABLE: Final = 126
NOT_FOUND: Final = 127
_BY_SIGNAL: Final = 128
_FORWARDED: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def run_program(command: Sequence[str], environ: Mapping[str, str]) -> int:
    """Run it to its end and return its status as a shell would: 128 and the number when a signal ended it.

    Raises CommandFailed with status 127 when there is no such program, 126 when it cannot be run. Must be called on
    the main thread. Signals that come meanwhile go to the program; what it makes of them is its business.
    """
    program: subprocess.Popen[bytes] | None = None
    early: list[int] = []  # came before there was a program to send them to

    def forward(number: int, _frame: FrameType | None) -> None:
        if program is None:
            early.append(number)
        elif program.poll() is None and not (number == signal.SIGINT and _terminal_sends_it_to_all()):
            program.send_signal(number)

    before = {number: signal.signal(number, forward) for number in _FORWARDED}
    try:
        program = _start(command, environ)
        for number in early:
            program.send_signal(number)
        status = program.wait()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    return _BY_SIGNAL - status if status < 0 else status


def _start(command: Sequence[str], environ: Mapping[str, str]) -> subprocess.Popen[bytes]:
    try:
        return subprocess.Popen(list(command), env=dict(environ))  # noqa: S603 - what the user asked for
    except FileNotFoundError as exc:
        raise CommandFailed(f"there is no program {command[0]}", NOT_FOUND) from exc
    except OSError as exc:
        reason = "it is no program" if exc.errno == errno.ENOEXEC else exc.strerror
        raise CommandFailed(f"{command[0]} cannot be run: {reason}", NOT_EXECUTABLE) from exc
    except ValueError as exc:  # a null character in an argument
        raise CommandFailed(f"{command[0]} cannot be run: {exc}", NOT_EXECUTABLE) from exc


def _terminal_sends_it_to_all() -> bool:
    """True when Ctrl-C reaches the program by itself; a second SIGINT would cut its farewell short."""
    try:
        terminal = os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY)
    except OSError:
        return False
    try:
        return os.tcgetpgrp(terminal) == os.getpgrp()
    except OSError:
        return False
    finally:
        os.close(terminal)
