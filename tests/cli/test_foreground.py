"""Running a program as a shell would."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from proxy.cli.failures import CommandFailed
from proxy.cli.foreground import run_program

PATH = {"PATH": os.environ["PATH"]}


@pytest.mark.parametrize(
    ("script", "status"), [("exit 0", 0), ("exit 7", 7), ("kill -TERM $$", 143), ("kill -KILL $$", 137)]
)
def test_the_status_is_the_programs(script: str, status: int) -> None:
    assert run_program(["sh", "-c", script], PATH) == status


def test_the_program_gets_its_arguments_and_its_environment(tmp_path: Path) -> None:
    seen = tmp_path / "seen"
    run_program(
        ["sh", "-c", 'printf "%s|%s" "$GIVEN" "$1" > "$OUT"', "sh", "a b"], PATH | {"GIVEN": "x", "OUT": str(seen)}
    )
    assert seen.read_text() == "x|a b"


def test_a_program_that_does_not_exist_is_127() -> None:
    with pytest.raises(CommandFailed, match="there is no program no-such-program") as caught:
        run_program(["no-such-program"], PATH)
    assert caught.value.status == 127


@pytest.mark.parametrize("content", [None, b"\x00not a program"])
def test_what_cannot_be_run_is_126(tmp_path: Path, content: bytes | None) -> None:
    target = tmp_path / "thing"
    if content is None:
        target.mkdir()
    else:
        target.write_bytes(content)
        target.chmod(0o755)
    with pytest.raises(CommandFailed, match="cannot be run") as caught:
        run_program([str(target)], PATH)
    assert caught.value.status == 126


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_signals_go_to_the_program_which_decides(tmp_path: Path, number: signal.Signals) -> None:
    ready = tmp_path / "ready"
    program = (
        "import os, signal, sys, pathlib\n"
        f"signal.signal({int(number)}, lambda *_: sys.exit(9))\n"
        f"pathlib.Path({str(ready)!r}).touch()\n"
        "while True: signal.pause()\n"
    )
    script = (
        "import os, sys\nfrom proxy.cli.foreground import run_program\n"
        f"sys.exit(run_program([sys.executable, '-c', {program!r}], dict(os.environ)))\n"
    )
    # A session of its own has no terminal that would send SIGINT to both.
    parent = subprocess.Popen([sys.executable, "-c", script], start_new_session=True)
    try:
        give_up_at = time.monotonic() + 30
        while not ready.exists() and time.monotonic() < give_up_at:
            time.sleep(0.01)
        parent.send_signal(number)
        assert parent.wait(30) == 9
    finally:
        parent.kill()
        parent.wait()


def test_handlers_are_put_back() -> None:
    before = signal.getsignal(signal.SIGTERM)
    run_program(["true"], PATH)
    assert signal.getsignal(signal.SIGTERM) is before
