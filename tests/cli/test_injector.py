"""`skinflint injector` as a process."""

import signal
import socket
import ssl
import urllib.request
from pathlib import Path

from tests.cli import processes
from tests.cli.conftest import Run
from tests.support.x509 import TestCa


def _pair(folder: Path) -> tuple[TestCa, tuple[str, ...]]:
    ca = TestCa(folder)
    pair = str(ca.server("127.0.0.1"))  # a key and its certificate, in one file
    (folder / "injector.yaml").write_text("image: skinflint:1\n")
    return ca, ("injector", "--cert", pair, "--key", pair, "--config", str(folder / "injector.yaml"))


def test_it_serves_until_it_is_told_to_stop(home: Path) -> None:
    ca, arguments = _pair(home)
    process = processes.start(home, *arguments, "--listen", "127.0.0.1:0", "--linger", "0")
    try:
        assert process.stdout is not None
        url = process.stdout.readline().rpartition(" ")[2].strip()
        trust = ssl.create_default_context(cafile=str(ca.root))
        with urllib.request.urlopen(url.replace("/mutate", "/readyz"), context=trust, timeout=20) as answer:
            assert answer.status == 200
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
    finally:
        processes.end(process)


def test_new_settings_are_taken_while_it_runs_and_bad_ones_are_not(home: Path) -> None:
    ca, arguments = _pair(home)
    process = processes.start(home, *arguments, "--listen", "127.0.0.1:0", "--linger", "0")
    try:
        assert process.stdout is not None
        url = process.stdout.readline().rpartition(" ")[2].strip().replace("/mutate", "/metrics")
        trust = ssl.create_default_context(cafile=str(ca.root))

        def metrics() -> str:
            with urllib.request.urlopen(url, context=trust, timeout=20) as answer:
                return str(answer.read())

        for text, outcome in (("image: other:1\n", "applied"), ("image: 7\n", "refused")):
            (home / "injector.yaml").write_text(text)
            line = f'skinflint_injector_reloads_total{{outcome="{outcome}",what="settings"}} 1.0'
            processes.wait_until(lambda line=line: line in metrics(), line)
    finally:
        processes.end(process)


def test_mistakes_end_it_with_one_line(home: Path, skinflint: Run) -> None:
    _, arguments = _pair(home)
    (home / "injector.yaml").write_text("mode: sideways\n")
    result = processes.run(home, *arguments, "--listen", "127.0.0.1:0")
    assert result.returncode == 1
    assert "allowed: hosts, env, redirect" in result.stderr
    (home / "injector.yaml").write_text("image: skinflint:1\n")
    missing = processes.run(home, "injector", "--cert", "/none", "--key", "/none", *arguments[-2:])
    assert missing.returncode == 1
    assert missing.stderr == "error: /none cannot be read: No such file or directory\n"
    assert skinflint(*arguments, "--listen", "8443").exit_code == 2
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        result = processes.run(home, *arguments, "--listen", address)
    assert (result.returncode, result.stderr) == (1, f"error: --listen {address}: Address already in use\n")
