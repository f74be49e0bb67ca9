"""skinflint run: what it says, where it can be found, and how it stops."""

import http.client
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from proxy import runtime
from proxy.cli.run import announcement
from proxy.runtime import BoundListener
from tests.cli.processes import end, run, start, wait_until
from tests.cli.test_runtime import make_runtime


def test_the_announcement_tells_how_to_use_it(tmp_path: Path) -> None:
    assert announcement(make_runtime(tmp_path), "/home/x").splitlines() == [
        "Skinflint 1.2.3 is ready.",
        "  listening  127.0.0.1:8080 (regular)",
        "  admin      http://127.0.0.1:9190",
        f"  CA         {tmp_path}/ca.pem",
        f'Use it from another shell: eval "$(skinflint env --data-dir {tmp_path})"',
    ]


def test_the_usual_data_directory_need_not_be_named() -> None:
    usual = make_runtime(Path("/home/x/.local/share/skinflint"))
    assert announcement(usual, "/home/x").endswith('shell: eval "$(skinflint env)"')
    assert "--data-dir /home/x/" in announcement(usual, None)


def test_without_a_regular_listener_there_is_no_hint(tmp_path: Path) -> None:
    assert "eval" not in announcement(make_runtime(tmp_path, 0, BoundListener("hosts", "0.0.0.0:443")), None)


ANY = ("--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--data-dir", "data")


@pytest.fixture
def stopped(tmp_path: Path) -> Iterator[tuple[runtime.Runtime, str, int, str]]:
    """A proxy that ran and was told to stop: where it was, what `env` said, its status and its output."""
    process = start(tmp_path, "run", *ANY)
    try:
        wait_until(lambda: process.poll() is not None or runtime.read(tmp_path / "data") is not None, "it is ready")
        found = runtime.read(tmp_path / "data")
        assert found is not None, process.communicate()
        admin = http.client.HTTPConnection(found.admin, timeout=10)
        admin.request("GET", "/livez")
        assert admin.getresponse().status == 200
        admin.close()
        variables = run(tmp_path, "env", "--data-dir", "data").stdout
        process.send_signal(signal.SIGTERM)
        status = process.wait(60)
        yield found, variables, status, end(process)[0]
    finally:
        end(process)


def test_it_can_be_found_while_it_runs(stopped: tuple[runtime.Runtime, str, int, str], tmp_path: Path) -> None:
    found, variables, status, output = stopped
    assert f"export HTTPS_PROXY={found.proxy_url}\n" in variables
    assert output == announcement(found, None) + "\n"
    assert status == 0
    assert not (tmp_path / "data" / runtime.FILE_NAME).exists()


def test_a_mistake_in_the_settings_is_status_1(tmp_path: Path) -> None:
    result = run(tmp_path, "run", *ANY, "--set", "log.level=loud")
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr == (
        'error: the settings have a problem: --set log.level: got "loud"; allowed: debug, info, warning, error\n'
    )


@pytest.mark.parametrize("command", [("run",), ("exec", "--", "true")])
def test_a_data_directory_that_cannot_be_made_is_named(tmp_path: Path, command: tuple[str, ...]) -> None:
    (tmp_path / "file").touch()
    name, *rest = command
    result = run(tmp_path, name, "--data-dir", "file/data", *rest)
    what = f"the data directory {tmp_path}/file/data cannot be used: Not a directory"
    assert (result.returncode, result.stderr) == (1, f"error: {what}; name another with --data-dir\n")


def test_a_mistake_in_a_file_of_tokens_is_told_once_however_many_workers_there_are(home: Path) -> None:
    (home / "credentials").write_text("team secret-token\n")
    access = (
        "--set",
        f"access.credentials={home / 'credentials'}",
        "--listen",
        "127.0.0.1:0",
        "--admin",
        "127.0.0.1:0",
    )
    for workers in ("1", "2"):
        done = run(home, "run", "--workers", workers, *access, "--data-dir", str(home / "data"))
        assert done.returncode == 1
        assert (done.stdout + done.stderr).count("line 1 is not TENANT") == 1
        assert "secret-token" not in done.stdout + done.stderr


def test_an_open_relay_does_not_start(home: Path) -> None:
    done = run(home, "run", "--listen", "0.0.0.0:0", "--admin", "127.0.0.1:0")
    assert done.returncode == 1
    assert "open relay" in done.stderr
