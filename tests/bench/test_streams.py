"""The arithmetic of gaps, the loads of the streams section, and its tables, words and picture."""

import itertools
from collections.abc import Sequence
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.field import FULL
from bench.sections.stream_loads import FEW, LOADS, RATE, SIZES, Load, keeps_up, reached, verdict, why_left_out
from bench.sections.stream_tables import load_table, rate_table, size_picture, size_tables, stream_kib
from bench.sections.stream_words import ceiling_remark, cpu_check, large_checks, lost_remark
from bench.streams import Plan, Streamed, added_gaps

PLAN = Plan(2_000, 121, 20.0, spread_s=2.0)
delays = st.lists(st.integers(0, 10**12), max_size=50)


def one(
    *,
    cpu_us: float = 50.0,
    p50_ms: float = 1.0,
    lost: int = 0,
    seconds: float = 8.0,
    cpu: float = 0.5,
    load: float = 0.4,
) -> Streamed:
    return Streamed(1_000, lost, seconds, cpu_us, cpu, 2.0, 3.0, p50_ms, p50_ms + 4, 0.2, 0.9, load, 100.0, 150.0)


def alike(rounds: Sequence[Streamed]) -> dict[Load, dict[str, Sequence[Streamed]]]:
    direct = [one(cpu_us=0.0, cpu=0.0, p50_ms=0.5)]
    return {load: {"direct": direct, "us": rounds} for load in LOADS}


def test_gap_is_added_where_an_event_comes_later_or_earlier_than_the_one_before() -> None:
    assert added_gaps([5, 5, 9, 2]) == [0, 4, 7]


@given(events=st.integers(0, 50), delay=st.integers(0, 10**12))
def test_constant_delay_adds_no_gap(events: int, delay: int) -> None:
    assert added_gaps([delay] * events) == [0] * max(events - 1, 0)


@given(late=delays, shift=st.integers(-(10**12), 10**12))
def test_gaps_do_not_depend_on_when_the_clock_began(late: list[int], shift: int) -> None:
    assert added_gaps([delay + shift for delay in late]) == added_gaps(late)


@given(sent=delays, late=delays)
def test_gap_is_the_difference_of_the_time_between_two_readings_and_that_between_two_writings(
    sent: list[int], late: list[int]
) -> None:
    events = list(zip(sent, late, strict=False))
    pairs = itertools.pairwise(events)
    expected = [abs((at + delay - before - lag) - (at - before)) for (before, lag), (at, delay) in pairs]
    assert added_gaps([delay for _, delay in events]) == expected


def test_loads_grow_and_hold_each_number_of_streams() -> None:
    a_second = [load.streams * load.rate for load in LOADS]
    assert a_second == sorted(a_second)
    assert {load.streams for load in LOADS if load.rate == RATE} == set(SIZES)


@pytest.mark.parametrize("load", LOADS)
def test_many_streams_are_all_open_for_a_while(load: Load) -> None:
    plan = load.plan(FULL)
    assert plan.events / plan.rate >= plan.spread_s + 1
    assert load.rounds(FULL) >= (5 if load.streams <= FEW else 1)


def test_rate_that_was_reached_leaves_out_the_time_of_beginning() -> None:
    assert reached(PLAN, one(seconds=8.0)) == pytest.approx(40_000)


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (one(), "keeps up"),
        (one(load=0.95), "keeps up; the load side's core nearly full"),
        (one(lost=1, cpu=0.99), "the proxy's core full"),
        (one(seconds=9.0, cpu=0.99, load=0.95), "the proxy's core and the load side's core full"),
        (one(p50_ms=51.0), "late, though no core is full: the machine had other work"),
    ],
)
def test_verdict_says_what_is_full(found: Streamed, expected: str) -> None:
    assert verdict(PLAN, found) == expected
    assert keeps_up(PLAN, found) == expected.startswith("keeps up")


def test_who_comes_late_is_left_out_with_the_reason() -> None:
    load = Load(1_000, RATE)
    assert why_left_out(load, [one(), one(), one(p50_ms=2_000)]) is None
    assert "1,000 streams, 20 events/s each: there its events came 980 ms late" in str(
        why_left_out(load, [one(p50_ms=980)])
    )


def test_first_table_has_a_row_for_each_with_as_many_cells_as_heads() -> None:
    measured = alike([one(), one()])[Load(FEW, RATE)]
    made = load_table(
        Load(FEW, RATE), measured, {"direct": "TLS", "us": "CONNECT, TLS"}, {"them": "not installed"}, "us"
    )
    assert [row[0] for row in made.rows] == ["direct", "us", "them"]
    assert made.rows[2][:3] == ("them", "–", "not installed")
    assert {len(row) for row in made.rows} == {len(made.heads)}


def test_each_figure_has_a_column_for_each_number_of_streams() -> None:
    found = alike([one()])
    found[Load(FEW, RATE)]["them"] = [one(cpu_us=1_000.0)]
    cpu, *_, memory, load_side = size_tables(found)
    assert cpu.heads == ("CPU an event, µs", *[f"{size:,} stream{'s' if size > 1 else ''}" for size in SIZES])
    assert cpu.rows == (
        ("us", *["50.0"] * 6),
        ("them", "left out", "left out", "1,000.0", "left out", "left out", "left out"),
    )
    assert memory.heads[1:] == ("500 streams", "1,000 streams", "2,000 streams")
    assert load_side.rows[0] == ("direct", *["40%"] * 6)


def test_memory_of_a_stream_is_what_came_with_all_of_them() -> None:
    assert stream_kib(Load(1_000, RATE), one()) == pytest.approx(51.2)


def test_rates_have_a_row_each_and_the_highest_that_was_kept_up_with_is_told() -> None:
    steps = [(PLAN, one()), (Plan(2_000, 151, 25.0, 2.0), one(lost=3, cpu=0.99))]
    made = rate_table("us", steps)
    assert [(row[0], row[-1]) for row in made.rows] == [("20", "keeps up"), ("25", "the proxy's core full")]
    told = ceiling_remark("us", steps)
    assert "kept up with: 20 events/s each, 40,000 together." in told
    assert told.endswith("At 25: the proxy's core full; 3 lost. Not tried after two that were too fast: 30, 40, 50.")


def test_rate_that_is_kept_up_with_after_one_that_was_not_counts() -> None:
    steps = [(PLAN, one(lost=1)), (Plan(2_000, 301, 50.0, 2.0), one())]
    assert ceiling_remark("us", steps).endswith("kept up with: 50 events/s each, 100,000 together.")


def test_ceiling_that_was_not_reached_is_not_told_of() -> None:
    assert ceiling_remark("us", [(PLAN, one())]).endswith("together.")
    assert "none of these rates" in ceiling_remark("us", [(PLAN, one(lost=1))])


def test_lost_events_are_told_of_by_name() -> None:
    assert lost_remark(alike([one()])).endswith("none, by anybody.")
    assert lost_remark(alike([one(lost=2)])).endswith("us 14.")


def test_loss_of_ours_is_a_target_that_is_not_met() -> None:
    assert [check.is_met for check in large_checks(alike([one(lost=1)]), "us")] == [False, False, False]
    assert [check.is_met for check in large_checks(alike([one()]), "us")][:2] == [True, True]


def test_cpu_beside_a_contestant_that_is_not_there_is_not_judged() -> None:
    check = cpu_check({"us": [one()]}, {"stock mitmdump": "gone"}, "us")
    assert (check.found, check.is_met) == ("not measured: gone", None)


def test_picture_shows_ours_first_and_what_is_added_to_the_direct_way() -> None:
    root = ET.fromstring(size_picture(alike([one()]), "us").svg)
    told = next(each.text or "" for each in root.iter() if each.tag.endswith("desc"))
    assert "ms (0.01: that or less), us: 1: 0.5, 10: 0.5" in told
    assert "direct:" not in told
