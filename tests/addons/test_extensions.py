"""Stages of third parties: found by their entry points, and never able to keep the proxy from starting."""

from pathlib import Path

import pytest
from structlog.testing import capture_logs

from proxy.extensions import GROUP, extra_stages

MODULE = """
class Stage:
    def __init__(self, name):
        self.name = name

    async def handle(self, exchange, call_next):
        return await call_next(exchange)


def first():
    return Stage("a")


def second():
    return Stage("b")


def broken():
    raise RuntimeError("sk-secret")
"""


def install(folder: Path, module: str, *entries: str) -> None:
    """Make it look as if a package with these entry points were installed in `folder`."""
    (folder / f"{module}.py").write_text(MODULE)
    about = folder / f"{module}-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {module}\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text(f"[{GROUP}]\n" + "\n".join(entries) + "\n")


def test_without_extensions_there_are_none() -> None:
    assert extra_stages() == ()


def test_they_stand_in_the_order_of_their_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(tmp_path, "skinflint_test_one", "z = skinflint_test_one:second", "a = skinflint_test_one:first")
    monkeypatch.syspath_prepend(tmp_path)
    assert [stage.name for stage in extra_stages()] == ["a", "b"]


def test_one_that_cannot_be_loaded_is_said_and_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(
        tmp_path,
        "skinflint_test_two",
        "a = skinflint_test_two:broken",
        "b = skinflint_test_two:missing",
        "c = no_such_module:x",
        "d = skinflint_test_two:first",
    )
    monkeypatch.syspath_prepend(tmp_path)
    with capture_logs() as logs:
        stages = extra_stages()
    assert [stage.name for stage in stages] == ["a"]
    assert [(entry["event"], entry["addon"]) for entry in logs] == [("addon_not_loaded", name) for name in "abc"]
    assert "sk-secret" not in str(logs)
