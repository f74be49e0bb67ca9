"""The pictures are XML, show each contestant, and keep their marks inside."""

from xml.etree import ElementTree as ET

import pytest

from bench.figures import Spread
from bench.plots import Bar, Plot, svg, ticks

BARS = (
    Bar("a <rival> & co", Spread(12.5, 11.0, 14.0), target=12.0),
    Bar("nginx", Spread(0.4, 0.3, 0.5), target=0.35),
)
NAMESPACE = "{http://www.w3.org/2000/svg}"


def parsed(plot: Plot) -> ET.Element:
    return ET.fromstring(svg(plot))


def styles(root: ET.Element) -> list[str]:
    return [each.get("class", "") for each in root.iter()]


def test_picture_says_name_and_figures_of_each() -> None:
    texts = [each.text for each in parsed(Plot("hits", "Hits", "caption", BARS)).iter(f"{NAMESPACE}text")]
    assert {"a <rival> & co", "12.5× (11.0–14.0)", "nginx", "0.40× (0.30–0.50)"} <= set(texts)


@pytest.mark.parametrize(("is_more_better", "expected"), [(True, ["better", "worse"]), (False, ["worse", "better"])])
def test_colour_says_who_is_better(is_more_better: bool, expected: list[str]) -> None:
    found = styles(parsed(Plot("x", "X", "caption", BARS, is_more_better)))
    assert [style for style in found if style in ("better", "worse")] == expected


def test_nothing_stands_out_over_the_edge() -> None:
    root = parsed(Plot("x", "X", "caption", BARS))
    width, height = float(root.get("width", 0)), float(root.get("height", 0))
    for each in root.iter():
        xs = [float(each.get(name, 1)) for name in ("x", "x1", "x2")]
        ys = [float(each.get(name, 1)) for name in ("y", "y1", "y2")]
        right = xs[0] + float(each.get("width", 0)) if each is not root else width
        assert min(xs) >= 0
        assert max(*xs, right) <= width
        assert min(ys) >= 0
        assert max(ys) <= height


def test_targets_are_drawn_where_there_are_any() -> None:
    without = Plot("x", "X", "caption", tuple([Bar(bar.label, bar.ratio) for bar in BARS]))
    assert styles(parsed(Plot("x", "X", "caption", BARS))).count("target") == 2
    assert styles(parsed(without)).count("target") == 0


def test_picture_without_contestants_is_a_picture() -> None:
    assert parsed(Plot("x", "X", "caption", ())).tag == f"{NAMESPACE}svg"


@pytest.mark.parametrize(
    ("least", "most", "expected"),
    [
        (0.3, 14.0, [0.2, 0.5, 1, 2, 5, 10, 20]),
        (1.0, 1.0, [1]),
        (3.0, 4.0, [1, 2, 5]),
        (0.02, 0.9, [0.02, 0.05, 0.1, 0.2, 0.5, 1]),
    ],
)
def test_ticks_hold_all_figures_and_one(least: float, most: float, expected: list[float]) -> None:
    assert ticks(least, most) == pytest.approx(expected)
