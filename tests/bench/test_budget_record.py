"""Budgets: comparing, and when it would mean nothing."""

import dataclasses
from pathlib import Path

import pytest

from bench.budget.record import PATH, Record, compare, differences, load, store
from bench.failures import BenchFailed

RECORD = Record(
    python="3.13.0",
    build="GCC, optimized",
    machine="x86_64",
    libraries="glibc 2",
    valgrind="3.19.0",
    packages={"h2": "4.3.0", "orjson": "3.13.0"},
    counts={"hit": 1000, "forward": 2000},
)


@pytest.mark.parametrize("counted", [950, 1000, 1050])
def test_within_five_per_cent_is_well(counted: int) -> None:
    (line,) = compare(RECORD, {"hit": counted})
    assert line.verdict == ""


def test_dearer_is_said() -> None:
    (line,) = compare(RECORD, {"forward": 2101})
    assert line.verdict == "dearer than its budget"


def test_gain_has_to_be_written_down() -> None:
    (line,) = compare(RECORD, {"hit": 949})
    assert line.verdict == "a gain: write it down"


def test_count_without_a_budget_is_refused() -> None:
    with pytest.raises(BenchFailed, match="no budget for event"):
        compare(RECORD, {"event": 1})


def test_same_surroundings_are_comparable_whatever_was_counted() -> None:
    assert differences(RECORD, dataclasses.replace(RECORD, counts={})) == []


@pytest.mark.parametrize("name", ["python", "build", "machine", "libraries", "valgrind"])
def test_other_surroundings_are_told_apart(name: str) -> None:
    (reason,) = differences(RECORD, dataclasses.replace(RECORD, **{name: "other"}))
    assert reason.startswith(f"{name}: ")
    assert reason.endswith("other here")


def test_other_package_is_told_apart() -> None:
    now = dataclasses.replace(RECORD, packages={"h2": "4.4.0", "uvloop": "1"})
    assert differences(RECORD, now) == [
        "h2: 4.3.0 in the record, 4.4.0 here",
        "orjson: 3.13.0 in the record, none here",
        "uvloop: none in the record, 1 here",
    ]


def test_record_is_read_as_it_was_stored(tmp_path: Path) -> None:
    store(RECORD, tmp_path / "budget.json")
    assert load(tmp_path / "budget.json") == RECORD


def test_unreadable_record_says_how_to_make_one(tmp_path: Path) -> None:
    (tmp_path / "budget.json").write_text('{"python": "3.13.0"}')
    with pytest.raises(BenchFailed, match="--write"):
        load(tmp_path / "budget.json")


def test_kept_record_has_a_budget_for_each_kind_of_work() -> None:
    assert {name for name, count in load(PATH).counts.items() if count > 0} == {"hit", "forward", "event"}
