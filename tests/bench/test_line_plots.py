"""Lines are where their figures are, and nothing stands out over the edge."""

import re
from xml.etree import ElementTree as ET

import pytest

from bench.line_plots import Line, Panel, decades, line_svg

PANELS = (
    Panel("cost & delay", (Line("us", ((1, 100), (2_000, 10))), Line("<them>", ((1, 1_000), (100, 1_000)))), 1.0),
    Panel("late", (Line("us", ((1, 0.0), (2_000, 3.0))),), 0.01),
)


def points(text: str) -> list[list[tuple[float, float]]]:
    found = re.findall(r'points="([^"]+)"', text)
    return [[(float(x), float(y)) for x, y in (each.split(",") for each in line.split())] for line in found]


def test_picture_is_xml_and_names_each_line_once() -> None:
    texts = [each.text for each in ET.fromstring(line_svg("T", "streams", PANELS)).iter()]
    assert texts.count("us") == 1
    assert {"<them>", "cost & delay", "streams", "2,000", "0.01"} <= set(texts)


def test_ten_times_more_is_as_far_everywhere() -> None:
    ours, theirs, _ = points(line_svg("T", "streams", PANELS))
    assert ours[0][1] - theirs[0][1] == pytest.approx(ours[1][1] - ours[0][1], abs=0.2)
    assert ours[0][0] == theirs[0][0] < theirs[1][0] < ours[1][0]


def test_what_is_below_the_floor_lies_on_it() -> None:
    late = points(line_svg("T", "streams", PANELS))[2]
    on_it = points(line_svg("T", "streams", [Panel("late", (Line("us", ((1, 0.01), (2_000, 3.0))),), 0.01)]))[0]
    assert late == on_it


def test_nothing_stands_out_over_the_edge() -> None:
    text = line_svg("T", "streams", PANELS)
    for line in points(text):
        assert all(58 <= x <= 410 - 16 and 96 <= y <= 300 - 48 for x, y in line)


def test_picture_without_lines_is_a_picture() -> None:
    assert ET.fromstring(line_svg("T", "streams", [Panel("empty", (), 1.0)])).tag.endswith("svg")


@pytest.mark.parametrize(
    ("least", "most", "expected"), [(3, 40, [1, 10, 100]), (1, 1, [1, 10]), (0.01, 10, [0.01, 0.1, 1, 10])]
)
def test_decades_hold_all_figures(least: float, most: float, expected: list[float]) -> None:
    assert decades(least, most) == pytest.approx(expected)
