"""The variables for other programs, and their quoting."""

import subprocess
from pathlib import Path

import pytest

from proxy import runtime
from proxy.cli.env import Format, assignment
from proxy.cli.failures import CommandFailed
from proxy.runtime import BoundListener
from tests.cli.conftest import Run
from tests.cli.test_runtime import make_runtime, pid_of_nobody

NASTY = """a 'b' "c" $HOME `id` \\n"""


def test_the_shell_gets_the_running_proxy(skinflint: Run, home: Path) -> None:
    runtime.write(make_runtime(home / "data"))
    result = skinflint("env", "--data-dir", "data")
    assert result.exit_code == 0
    assert "export HTTPS_PROXY=http://127.0.0.1:8080\n" in result.stdout
    assert f"export SSL_CERT_FILE={home}/data/bundle.pem\n" in result.stdout
    assert result.stderr == ""


def test_the_data_directory_may_come_from_the_settings(skinflint: Run, home: Path) -> None:
    (home / "skinflint.yaml").write_text("data_dir: data")
    runtime.write(make_runtime(home / "data"))
    assert "HTTPS_PROXY=" in skinflint("env").stdout


@pytest.mark.parametrize("is_left_behind", [False, True])
def test_without_a_running_proxy_it_fails_clearly(skinflint: Run, home: Path, is_left_behind: bool) -> None:
    if is_left_behind:
        runtime.write(make_runtime(home / "data", pid_of_nobody()))
    result = skinflint("env", "--data-dir", "data")
    assert (result.exit_code, result.stdout) == (1, "")
    assert f"no proxy is running with the data directory {home}/data" in result.stderr


def test_without_a_regular_listener_only_trust_is_set(skinflint: Run, home: Path) -> None:
    runtime.write(make_runtime(home / "data", 0, BoundListener("hosts", "127.0.0.1:443")))
    result = skinflint("env", "--data-dir", "data")
    assert "HTTPS_PROXY" not in result.stdout
    assert "SSL_CERT_FILE" in result.stdout
    assert "no listener is in regular mode" in result.stderr


def test_sh_reads_back_what_was_meant() -> None:
    script = assignment("X", NASTY, Format.SH) + '\nprintf "%s" "$X"'
    assert subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=True).stdout == NASTY


@pytest.mark.parametrize(
    ("output", "expected"),
    [
        (Format.FISH, r"""set -gx X 'a \'b\' "c" $HOME `id` \\n'"""),
        (Format.DOTENV, r'''X="a 'b' \"c\" \$HOME \`id\` \\n"'''),
        (Format.DOCKER, f"X={NASTY}"),
        (Format.POWERSHELL, r"""$env:X = 'a ''b'' "c" $HOME `id` \n'"""),
    ],
)
def test_each_reader_has_its_quoting(output: Format, expected: str) -> None:
    assert assignment("X", NASTY, output) == expected


def test_a_line_break_does_not_fit_into_an_env_file() -> None:
    with pytest.raises(CommandFailed, match="line break"):
        assignment("X", "a\nb", Format.DOCKER)
