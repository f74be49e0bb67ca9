"""What a run came to, in words."""

from dataclasses import replace

import pytest

from proxy.load.figures import Figures, Times, as_json, show, times

FIGURES = Figures(
    work="hits",
    proxy="127.0.0.1:8080",
    origin="https://bench.example.test:443/v1/chat/completions",
    connections=16,
    seconds=2.0,
    calls=4000,
    errors={},
    calls_per_s=2000.0,
    pieces_per_s=0.0,
    answer=Times(1.0, 2.0, 3.0),
    first_byte=Times(0.5, 1.0, 1.5),
    load_cores=0.25,
    upstream_cores=0.1,
    proxy_cores=0.5,
    proxy_cpu_us=250.0,
    outcomes={"hit": 4000, "miss": 0},
)


def test_percentiles_are_of_all_calls() -> None:
    assert times([number * 1_000_000 for number in range(100, 0, -1)]) == Times(51.0, 91.0, 100.0)
    assert times([]) is None


def test_the_table_says_what_was_found() -> None:
    text = show(FIGURES)
    for said in ("4,000 in 2.0 s", "2,000", "p50 1.00   p90 2.00   p99 3.00", "none", "250 µs a call", "hit 4,000"):
        assert said in text
    assert "no CPU to spare" not in text
    assert "miss" not in text


def test_what_nobody_could_see_is_left_out() -> None:
    text = show(replace(FIGURES, proxy_cores=None, proxy_cpu_us=None, outcomes=None, upstream_cores=None, answer=None))
    assert "Skinflint" not in text
    assert "upstream" not in text
    assert "–" in text


def test_errors_are_shown_by_what_went_wrong() -> None:
    assert "3 status 429, 1 closed" in show(replace(FIGURES, errors={"status 429": 3, "closed": 1}))


@pytest.mark.parametrize("side", ["load_cores", "upstream_cores"])
def test_a_busy_load_side_is_said(side: str) -> None:
    assert "no CPU to spare" in show(replace(FIGURES, **{side: 0.95}))  # type: ignore[arg-type] # both are floats


def test_json_has_everything() -> None:
    value = as_json(FIGURES)
    assert value["answer"] == {"p50_ms": 1.0, "p90_ms": 2.0, "p99_ms": 3.0}
    assert value["calls"] == 4000
