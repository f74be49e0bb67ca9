"""A section is taken from its file only where it was measured under the same conditions."""

import dataclasses
from pathlib import Path

import pytest

from bench.field import FULL, QUICK, Scale
from bench.kept import Kept, Measured, about
from bench.machine import Machine
from bench.report import Check, Picture, Section, Table

MACHINE = Machine("today", "0.1.0, commit abc", "a processor", 2, "Linux", "CPython", "h2 4", "0.1", "nginx 1")
SECTION = Section(
    "hits",
    "Answers",
    "What was done.",
    (Table(("", "calls/s"), (("Skinflint", "1"),)),),
    (Check("twice", "3.0", is_met=True), Check("gone", "–", is_met=None)),
    ("A remark.",),
    (Picture("a.svg", "A", "<svg/>"),),
)
MEASURED = Measured(SECTION, "today", 90.0, "0.1")


def kept(directory: Path | None, machine: Machine = MACHINE, scale: Scale = FULL, against: str = "nginx") -> Kept:
    return Kept.of_run(directory, machine, scale, [against])


def test_section_comes_back_as_it_was_kept_even_in_a_later_run(tmp_path: Path) -> None:
    kept(tmp_path / "new").keep(MEASURED)
    later = dataclasses.replace(MACHINE, at="tomorrow", load="2.0")
    found = kept(tmp_path / "new", later).find("hits")
    assert found is not None
    assert dataclasses.replace(found, conditions="") == MEASURED
    assert kept(tmp_path / "new").find("forwards") is None


@pytest.mark.parametrize(
    "other",
    [
        {"machine": dataclasses.replace(MACHINE, commit="0.1.0, commit def")},
        {"machine": dataclasses.replace(MACHINE, packages="h2 5")},
        {"machine": dataclasses.replace(MACHINE, rivals="")},
        {"scale": QUICK},
        {"against": "squid"},
    ],
)
def test_section_of_other_conditions_is_measured_again(tmp_path: Path, other: dict[str, object]) -> None:
    kept(tmp_path).keep(MEASURED)
    assert kept(tmp_path, **other).find("hits") is None  # type: ignore[arg-type]


def test_file_that_cannot_be_read_is_measured_again(tmp_path: Path) -> None:
    (tmp_path / "hits.json").write_text('{"section": ')
    assert kept(tmp_path).find("hits") is None


@pytest.mark.parametrize("commit", ["0.1.0, commit abc with changes", "0.1.0"])
def test_changes_that_are_in_no_commit_are_refused(tmp_path: Path, commit: str) -> None:
    with pytest.raises(ValueError, match="no commit"):
        kept(tmp_path, dataclasses.replace(MACHINE, commit=commit))


def test_without_a_directory_nothing_is_kept() -> None:
    none = kept(None, dataclasses.replace(MACHINE, commit="0.1.0, commit abc with changes"))
    none.keep(MEASURED)
    assert none.find("hits") is None


def test_page_says_which_sections_are_of_another_run() -> None:
    forwards = dataclasses.replace(SECTION, name="forwards")
    lines = dict(about([MEASURED, Measured(forwards, "now", 30.0, "0.2")], "now"))
    assert lines["Minutes"] == "2: hits 1.5, forwards 0.5"
    assert lines["Put together from several calls"].endswith(": hits: today, load average 0.1")
    assert "Put together from several calls" not in dict(about([MEASURED], "today"))
