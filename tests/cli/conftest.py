"""What the command line's tests share: a runner, and a home of their own."""

from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from proxy.cli import app

type Run = Callable[..., Result]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty home directory, which is the working directory too."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("SKINFLINT_CONFIG", raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def skinflint(home: Path) -> Run:
    """Runs a command in this process: `skinflint("run", "--help")`."""
    return lambda *arguments: CliRunner().invoke(app, arguments, prog_name="skinflint")
