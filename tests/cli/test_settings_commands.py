"""check-config, and how commands fail."""

import json
from itertools import pairwise
from pathlib import Path

import pytest
import yaml

from config.schema import Settings
from proxy.access.credentials import Credentials
from proxy.cli import main
from tests.cli.conftest import Run


def test_the_version_is_shown(skinflint: Run) -> None:
    result = skinflint("--version")
    assert (result.exit_code, result.stdout.startswith("skinflint 0.")) == (0, True)


@pytest.mark.parametrize("command", ["run", "exec", "env", "report", "check-config", "doctor", "demo"])
def test_help_has_an_example(skinflint: Run, command: str) -> None:
    result = skinflint(command, "--help")
    assert result.exit_code == 0
    assert "Example" in result.stdout
    assert f"skinflint {command}" in result.stdout


@pytest.mark.parametrize("command", [("exec",), ("doctor",), ("cache", "verify")])
def test_help_breaks_lines_where_the_terminal_ends(
    skinflint: Run, monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...]
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    prose = skinflint(*command, "--help").stdout.partition("╭")[0]
    lines = [line.strip() for line in prose.splitlines()]
    for line, following in pairwise(lines):
        word = following.partition(" ")[0]
        has_room = len(line) + 1 + len(word) <= 78
        assert not (line and following and has_room) or following.startswith("· "), line


def test_a_mistake_in_the_command_line_is_status_2(skinflint: Run) -> None:
    assert skinflint("run", "--nonsense").exit_code == 2


def test_main_returns_the_status(
    monkeypatch: pytest.MonkeyPatch, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["skinflint", "check-config", "--set", "cache.ttl_s=-1"])
    assert main() == 1
    assert capsys.readouterr().err.startswith(
        "error: the settings have a problem: --set cache.ttl_s: got the number -1"
    )
    monkeypatch.setattr("sys.argv", ["skinflint", "--version"])
    assert main() == 0


def test_check_config_shows_values_and_their_sources(skinflint: Run, home: Path) -> None:
    (home / "skinflint.yaml").write_text("cache:\n  ttl_s: 9\n")
    result = skinflint("check-config", "--set", "passthrough.hosts=a.example,b.example")
    lines = [line.split() for line in result.stdout.splitlines()]
    assert ["cache.ttl_s", "9.0", "skinflint.yaml:2"] in lines
    assert ["passthrough.hosts", "a.example,", "b.example", "--set", "passthrough.hosts"] in lines
    assert ["listeners[0].mode", "regular", "default"] in lines
    assert ["cache.enabled", "true", "default"] in lines
    assert result.stdout.endswith(f"The settings are good. File: {home}/skinflint.yaml\n")
    assert result.exit_code == 0


def test_check_config_names_every_problem(skinflint: Run, home: Path) -> None:
    (home / "skinflint.yaml").write_text("cache:\n  ttl: 9\nlog: {level: loud}\n")
    result = skinflint("check-config")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.splitlines() == [
        "error: the settings have 2 problems:",
        f'  {home}/skinflint.yaml:3: log.level: got "loud"; allowed: debug, info, warning, error',
        f"  {home}/skinflint.yaml:2: cache.ttl: is not a setting; did you mean cache.ttl_s?",
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("providers: {mine: {hosts: [llm.example.com], dialect: klingon}}", "klingon"),
        ("cost: {prices: prices.yaml}", "prices.yaml"),
    ],
)
def test_check_config_asks_those_who_use_the_settings(skinflint: Run, home: Path, text: str, message: str) -> None:
    (home / "prices.yaml").write_text("openai: [{model: ''}]")
    (home / "skinflint.yaml").write_text(text)
    result = skinflint("check-config")
    assert (result.exit_code, result.stdout, message in result.stderr) == (1, "", True)


@pytest.mark.parametrize(("name", "parse"), [("yaml", yaml.safe_load), ("json", json.loads)])
def test_what_check_config_prints_is_a_settings_file(skinflint: Run, home: Path, name: str, parse: object) -> None:
    first = skinflint("check-config", "--format", name, "--set", "cache.ttl_s=9", "--data-dir", "d").stdout
    (home / "again.yaml").write_text(first)
    assert skinflint("check-config", "--config", "again.yaml", "--format", name).stdout == first


def test_check_config_hides_passwords(skinflint: Run) -> None:
    for output in ("table", "yaml", "json"):
        arguments = ("--set", "upstream.proxy=http://user:s3cr3t@proxy:3128", "--format", output)
        result = skinflint("check-config", *arguments)
        assert "s3cr3t" not in result.output
        assert "http://***@proxy:3128" in result.output


def test_print_defaults_prints_a_file_that_changes_nothing(skinflint: Run, home: Path) -> None:
    (home / "skinflint.yaml").write_text(skinflint("check-config", "--print-defaults").stdout)
    shown = json.loads(skinflint("check-config", "--format", "json").stdout)
    shown["data_dir"] = "~/.local/share/skinflint"
    assert shown == Settings().model_dump(mode="json")


def test_check_config_reads_tokens_and_certificates(skinflint: Run, tmp_path: Path) -> None:
    file = tmp_path / "credentials"
    file.write_text("team secret-token\n")
    result = skinflint("check-config", "--profile", "gateway", "--set", f"access.credentials={file}")
    assert result.exit_code == 1
    assert "line 1 is not TENANT ID:SALT:DIGEST" in result.stderr
    assert "secret-token" not in result.stderr
    file.write_text("")
    tls = f'[{{"address": "127.0.0.1:0", "tls": {{"certificate": "{file}", "key": "{file}"}}}}]'
    result = skinflint("check-config", "--set", f"listeners={tls}")
    assert result.exit_code == 1
    assert "do not fit" in result.stderr


def test_gateway_token_prints_a_token_and_keeps_its_digest(skinflint: Run, tmp_path: Path) -> None:
    file = tmp_path / "credentials"
    tokens = [skinflint("gateway", "token", name, "--credentials", str(file)).stdout.strip() for name in "ab"]
    assert [Credentials.parse(file.read_text()).tenant(f"Bearer {token}".encode()) for token in tokens] == [
        ("a", tokens[0][4:16]),
        ("b", tokens[1][4:16]),
    ]
    assert file.stat().st_mode & 0o777 == 0o600
    shown = skinflint("gateway", "token", "c")
    assert shown.stderr.startswith("c ")
    assert skinflint("gateway", "token", "a:b").exit_code == 2


def test_ca_make_writes_an_authority_and_no_second_one(skinflint: Run, tmp_path: Path) -> None:
    result = skinflint("ca", "make", str(tmp_path / "ca"), "--host", "llm.internal")
    assert result.exit_code == 0
    assert "llm.internal" in result.stdout
    assert sorted(path.name for path in (tmp_path / "ca").iterdir()) == [
        "intermediate.key",
        "intermediate.pem",
        "skinflint-ca.pem",
    ]
    assert skinflint("ca", "make", str(tmp_path / "ca")).exit_code == 1
