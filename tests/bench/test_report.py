"""The page."""

from bench.machine import Machine
from bench.report import Check, Section, Table, page

MACHINE = Machine("today", "0.1.0", "a processor", 2, "Linux", "CPython", "h2 4", "0.1")
SECTION = Section(
    "hits",
    "Answers",
    "What was done.",
    (Table(("", "calls/s"), (("Skinflint", "1"),)),),
    (Check("twice", "3.0", is_met=True), Check("ten times", "3.0", is_met=False)),
    ("A remark.",),
)


def test_page_says_how_to_repeat_a_section() -> None:
    assert "`python -m bench --only hits`" in page(MACHINE, [SECTION], is_quick=False)


def test_target_that_was_not_met_says_so() -> None:
    text = page(MACHINE, [SECTION], is_quick=False)
    assert "| ten times | 3.0 | **not met** |" in text
    assert "| twice | 3.0 | met |" in text


def test_quick_run_says_so() -> None:
    assert "quick run" in page(MACHINE, [SECTION], is_quick=True)
    assert "quick run" not in page(MACHINE, [SECTION], is_quick=False)
