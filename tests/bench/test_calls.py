"""Tables and targets of the sections about whole calls."""

from pathlib import Path

import pytest

from bench.closed_loop import Measured
from bench.contestants import Direct
from bench.field import Entrant, Field
from bench.sections.calls import load_remark, rate_checks, table
from bench.target import Target


def rounds(*rates: int, core: float = 1.0) -> list[Measured]:
    return [Measured(rate, 1.0, 1.0, 2.0, 100.0, 0.2, core) for rate in rates]


def field(*names: str) -> Field:
    found = Field()
    for name in names:
        contestant = Direct()
        contestant.name = name
        target = Target(("127.0.0.1", 1), is_proxy=False, ca=Path("/ca"), pid=None)
        found.add(Entrant(contestant, target, iter(())))
    return found


MEASURED = {"direct": rounds(9000, 9000), "us": rounds(1000, 1200), "them": rounds(100, 100)}


@pytest.mark.parametrize(("least", "is_met"), [(11.0, True), (11.1, False)])
def test_target_is_the_median_of_the_rounds_ratios(least: float, is_met: bool) -> None:
    (check,) = rate_checks("hits", {"them": least}, MEASURED, field(*MEASURED), "us")
    assert (check.found, check.is_met) == ("11.00 (10.00–12.00)", is_met)


@pytest.mark.parametrize(("absent", "found"), [({"gone": "no npm"}, "no npm"), ({}, "left out")])
def test_target_against_one_that_is_not_there_is_not_judged(absent: dict[str, str], found: str) -> None:
    there = field(*MEASURED)
    there.absent |= absent
    (check,) = rate_checks("hits", {"gone": 2.0}, MEASURED, there, "us")
    assert (check.found, check.is_met) == (f"not measured: {found}", None)


def test_missing_contestant_has_a_row_with_the_reason() -> None:
    there = field(*MEASURED)
    there.absent["gone"] = "not installed"
    made = table("1 KB", MEASURED, there, "us")
    assert made.rows[-1][:3] == ("gone", "–", "not installed")
    assert {len(row) for row in made.rows} == {len(made.heads)}


def test_contestant_that_failed_later_keeps_its_earlier_figures() -> None:
    there = field(*MEASURED)
    there.entrants.pop()
    there.absent["them"] = "failed"
    assert [row[:2] for row in table("1 KB", MEASURED, there, "us").rows][-1] == ("them", "TLS")


def test_contestant_with_an_idle_core_is_named() -> None:
    measured = {**MEASURED, "fast": rounds(8000, 8000, core=0.5)}
    assert "fast left more than a tenth of their core idle" in load_remark(measured, "direct")
    assert load_remark(MEASURED, "direct").endswith("The load side was not the limit.")
