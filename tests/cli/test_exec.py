"""skinflint exec with a real proxy: variables, statuses, signals, company, and nothing left behind."""

import json
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from proxy.cli.child import ChildProxy
from proxy.cli.failures import CommandFailed
from tests.cli.processes import end, environment, is_listening, python, run, start, wait_until

TELL = "import json, os, pathlib, sys; pathlib.Path(sys.argv[1]).write_text(json.dumps(dict(os.environ)))"


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path


def told(file: Path) -> dict[str, str]:
    """The environment that a program wrote to a file."""
    variables: dict[str, str] = json.loads(file.read_text())
    return variables


def is_told(file: Path) -> bool:
    try:
        return bool(told(file))
    except (OSError, ValueError):
        return False


def test_the_program_runs_with_a_proxy_of_its_own(home: Path) -> None:
    result = run(home, "exec", "--data-dir", "data", *python(TELL, "sys.exit(7)"), "seen")
    assert result.returncode == 7, result.stderr
    variables = told(home / "seen")
    assert variables["HTTPS_PROXY"].startswith("http://127.0.0.1:")
    assert Path(variables["SSL_CERT_FILE"]).is_relative_to(home / "data")
    assert Path(variables["SSL_CERT_FILE"]).is_file()
    assert result.stderr == "skinflint: no calls to LLM providers\n"
    assert result.stdout == ""
    assert not is_listening(variables["HTTPS_PROXY"])
    assert not (home / "data/runtime.json").exists()


def test_quiet_prints_nothing(home: Path) -> None:
    result = run(home, "exec", "--quiet", "--data-dir", "data", "--", "true")
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")


def test_a_program_that_does_not_exist_is_127(home: Path) -> None:
    result = run(home, "exec", "--data-dir", "data", "--", "no-such-program")
    assert (result.returncode, result.stderr) == (127, "error: there is no program no-such-program\n")


@pytest.fixture
def company(home: Path) -> Iterator[list[dict[str, str]]]:
    """Two programs that run at the same time, as their environments say."""
    wait = ("import time", "while not pathlib.Path('go').exists(): time.sleep(0.02)")
    both = [start(home, "exec", "--data-dir", "data", *python(TELL, *wait), name) for name in ("one", "two")]
    try:
        wait_until(lambda: is_told(home / "one") and is_told(home / "two"), "both programs run")
        yield [told(home / "one"), told(home / "two")]
        (home / "go").touch()
        assert [process.wait(60) for process in both] == [0, 0]
    finally:
        for process in both:
            end(process)


def test_two_programs_have_a_proxy_each_and_share_the_ca(company: list[dict[str, str]]) -> None:
    one, two = company
    assert one["HTTPS_PROXY"] != two["HTTPS_PROXY"]
    assert is_listening(one["HTTPS_PROXY"])
    assert is_listening(two["HTTPS_PROXY"])
    assert one["SSL_CERT_FILE"] == two["SSL_CERT_FILE"]


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130), (signal.SIGKILL, -9)])
def test_the_proxy_ends_with_the_program_however_that_ends(home: Path, number: signal.Signals, status: int) -> None:
    alone = (
        "import signal, time",
        "signal.signal(signal.SIGINT, signal.SIG_DFL)",  # Python would make an exception of it
        "parent = os.getppid()",
        "while os.getppid() == parent: time.sleep(0.02)",
    )
    process = start(home, "exec", "--data-dir", "data", *python(TELL, *alone), "seen")
    try:
        wait_until(lambda: is_told(home / "seen"), "the program runs")
        url = told(home / "seen")["HTTPS_PROXY"]
        process.send_signal(number)
        assert process.wait(60) == status
        wait_until(lambda: not is_listening(url), "the proxy has ended")
        wait_until(lambda: not list((home / "data").glob("*.json")), "nothing says that it runs")
    finally:
        end(process)


def test_a_proxy_that_cannot_start_says_why(home: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        result = run(home, "exec", "--data-dir", "data", "--listen", address, "--", "true")
    assert result.returncode == 1
    assert "before it was ready; the end of" in result.stderr
    assert "in use" in result.stderr


def test_a_mistake_in_the_settings_is_told_before_anything_starts(home: Path) -> None:
    result = run(home, "exec", "--set", "cache.ttl=1", "--", "true")
    assert (result.returncode, "did you mean cache.ttl_s?" in result.stderr) == (1, True)
    assert list(home.iterdir()) == []


def test_a_start_that_takes_too_long_is_given_up(home: Path) -> None:
    arguments = ["--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--data-dir", str(home / "data")]
    with (
        ChildProxy(arguments, environment(home), home / "exec.log", 1.0) as proxy,
        pytest.raises(CommandFailed, match="was not ready after 0 seconds"),
    ):
        proxy.wait_until_ready(0)
    assert proxy.has_ended()


def test_a_log_that_has_grown_long_is_begun_anew(home: Path) -> None:
    log = home / "exec.log"
    log.write_bytes(b"x" * (5 * 1024 * 1024))
    with (
        ChildProxy(["--set", "nonsense"], environment(home), log, 1.0) as proxy,
        pytest.raises(CommandFailed, match="must be key"),
    ):
        proxy.wait_until_ready()
    assert log.stat().st_size < 10_000
