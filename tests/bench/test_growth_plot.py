"""The growth plot is well-formed, and shows what was measured where it belongs."""

import re
import xml.etree.ElementTree as ET

import pytest

from bench.figures import Spread
from bench.growth_plot import Line, Panel, plot

PANELS = [
    Panel("connections", (Line("hit", ((1, Spread(100, 90, 110)), (1_000, Spread(100, 95, 105)))),)),
    Panel("answers & labels", (Line("miss", ((10, Spread(200, 150, 390)), (1_000_000, Spread(50, 50, 50)))),)),
]


def heights(text: str, kind: str) -> list[float]:
    found = re.search(rf'class="line {kind}" points="([^"]+)"', text)
    assert found is not None
    return [float(point.partition(",")[2]) for point in found[1].split()]


def test_it_is_well_formed_and_names_its_axes() -> None:
    text = plot(PANELS)
    ET.fromstring(text)
    for said in ("connections", "answers &amp; labels", ">1k<", ">1M<", ">hit<", ">miss<", ">400<"):
        assert said in text


def test_equal_costs_lie_on_a_level_line_and_lower_ones_below() -> None:
    text = plot(PANELS)
    assert len(set(heights(text, "hit"))) == 1
    first, last = heights(text, "miss")
    assert first < heights(text, "hit")[0] < last  # the page's y grows downwards


@pytest.mark.parametrize("highest", [0.3, 7.0, 10.0, 4321.0])
def test_the_highest_mark_is_within_the_plot(highest: float) -> None:
    text = plot([Panel("x", (Line("hit", ((1, Spread(highest, 0, highest)),)),))])
    assert min(heights(text, "hit")) >= 28
