"""Medians and ratios."""

import pytest

from bench.figures import differences, percentile, ratios, spread


def test_spread_is_median_least_and_most() -> None:
    assert spread([3.0, 1.0, 2.0]).show(1, " s") == "2.0 s (1.0–3.0)"


def test_ratio_is_taken_round_by_round() -> None:
    # The medians' ratio would be 2.
    found = ratios([10.0, 40.0, 60.0], [10.0, 20.0, 20.0])
    assert (found.least, found.median, found.most) == (1.0, 2.0, 3.0)


def test_difference_is_taken_round_by_round() -> None:
    assert differences([5.0, 9.0], [1.0, 2.0]).median == 5.5


def test_rounds_must_pair() -> None:
    with pytest.raises(ValueError, match="zip"):
        ratios([1.0], [1.0, 2.0])


@pytest.mark.parametrize(("share", "expected"), [(0.5, 51), (0.99, 100), (1.0, 100), (0.0, 1)])
def test_percentile(share: float, expected: int) -> None:
    assert percentile(list(range(1, 101)), share) == expected
