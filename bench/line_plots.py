"""Pictures of a figure that changes with a number: a line for each contestant, panels side by side, as one SVG.

Rules: pure. Both axes are logarithmic, so that ten times more is as far everywhere; a legend above names the lines, as
their ends may lie upon one another. The first line is Skinflint's, and thicker. Colours follow the reader's light or
dark setting, as in bench/plots.py.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape
from typing import Final

_WIDTH: Final = 410  # of a panel
_HEIGHT: Final = 300
_LEFT: Final = 58
_RIGHT: Final = 16
_TOP: Final = 96
_FOOT: Final = 48
_LEGEND: Final = 4  # names in a line of it
_COLOURS: Final = ("#2a9d74", "#d9822b", "#8250df", "#cf3c6c", "#3d7fd9", "#8a6d3b", "#6e7781", "#17a2b8")
_STYLE: Final = (
    ".card{fill:#fff;stroke:#d1d9e0}text{font:12px system-ui,-apple-system,'Segoe UI',sans-serif;fill:#1f2328}"
    ".title{font-size:15px;font-weight:600}.soft{fill:#59636e}.grid{stroke:#e4e8ec}.line{fill:none;stroke-width:1.8}"
    ".ours{stroke-width:3.5}@media (prefers-color-scheme:dark){.card{fill:#0d1117;stroke:#3d444d}text{fill:#f0f6fc}"
    ".soft{fill:#9198a1}.grid{stroke:#262c36}}"
)


@dataclass(frozen=True, slots=True)
class Line:
    """A contestant's figure by number."""

    name: str
    points: tuple[tuple[float, float], ...]


@dataclass(frozen=True, slots=True)
class Panel:
    """One figure. What lies below `floor` is drawn on it: a logarithm knows no 0."""

    title: str
    lines: tuple[Line, ...]
    floor: float


def line_svg(title: str, across: str, panels: Sequence[Panel]) -> str:
    """The picture's text; `across` says what the numbers below are."""
    names = list(dict.fromkeys([line.name for panel in panels for line in panel.lines]))
    width = _WIDTH * len(panels)
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {_HEIGHT}" width="{width}" height="{_HEIGHT}" '
        f'role="img"><title>{escape(title)}</title><desc>{escape(_description(panels))}</desc><style>{_STYLE}</style>'
        f'<rect class="card" x=".5" y=".5" width="{width - 1}" height="{_HEIGHT - 1}" rx="6"/>'
        f'<text class="title" x="16" y="25">{escape(title)}</text>'
    )
    pieces = [head, *[_legend(place, name, width) for place, name in enumerate(names)]]
    for number, panel in enumerate(panels):
        pieces.append(f'<g transform="translate({number * _WIDTH} 0)">{_panel(panel, across, names)}</g>')
    return "".join([*pieces, "</svg>\n"])


def decades(least: float, most: float) -> list[float]:
    """Powers of ten from below `least` to above `most`; two at least."""
    low = math.floor(math.log10(least) + 1e-9)
    high = max(math.ceil(math.log10(most) - 1e-9), low + 1)
    return [10.0**power for power in range(low, high + 1)]


def _legend(place: int, name: str, width: int) -> str:
    x = 16 + place % _LEGEND * (width - 32) // _LEGEND
    y = 44 + place // _LEGEND * 17
    return (
        f'<line class="line{" ours" if place == 0 else ""}" stroke="{_colour(place)}" x1="{x}" y1="{y - 4}" '
        f'x2="{x + 20}" y2="{y - 4}"/><text x="{x + 26}" y="{y}">{escape(name)}</text>'
    )


def _panel(panel: Panel, across: str, names: Sequence[str]) -> str:
    points = [point for line in panel.lines for point in line.points]
    numbers = sorted({number for number, _ in points}) or [1.0]
    costs = [max(cost, panel.floor) for _, cost in points] or [panel.floor]
    steps = decades(min(costs), max(costs))
    x = _scale(numbers[0], max(numbers[-1], numbers[0] * 10), _LEFT, _WIDTH - _RIGHT)
    y = _scale(steps[0], steps[-1], _HEIGHT - _FOOT, _TOP)
    pieces = [f'<text class="soft" x="{_LEFT}" y="{_TOP - 10}">{escape(panel.title)}</text>']
    pieces += [
        f'<line class="grid" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y(step):.1f}" y2="{y(step):.1f}"/>'
        f'<text class="soft" x="{_LEFT - 8}" y="{y(step) + 4:.1f}" text-anchor="end">{step:,g}</text>'
        for step in steps
    ]
    foot = _HEIGHT - _FOOT + 17
    for place, number in enumerate(numbers):
        is_last = place == len(numbers) - 1
        anchor = "end" if is_last else "middle"
        if is_last or x(numbers[-1]) - x(number) > 52:  # room for the last one's digits
            pieces.append(
                f'<text class="soft" x="{x(number):.1f}" y="{foot}" text-anchor="{anchor}">{number:,.0f}</text>'
            )
    pieces.append(f'<text class="soft" x="{_LEFT}" y="{foot + 18}">{escape(across)}</text>')
    for line in panel.lines:
        pieces += _line(line, names.index(line.name), lambda point: (x(point[0]), y(max(point[1], panel.floor))))
    return "".join(pieces)


def _line(line: Line, place: int, at: Callable[[tuple[float, float]], tuple[float, float]]) -> list[str]:
    marks = [at(point) for point in line.points]
    colour = _colour(place)
    path = " ".join([f"{x:.1f},{y:.1f}" for x, y in marks])
    return [
        f'<polyline class="line{" ours" if place == 0 else ""}" stroke="{colour}" points="{path}"/>',
        *[
            f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"><title>{escape(line.name)}, {number:,.0f}: '
            f"{cost:,.3g}</title></circle>"
            for (x, y), (number, cost) in zip(marks, line.points, strict=True)
        ],
    ]


def _scale(least: float, most: float, start: float, end: float) -> Callable[[float], float]:
    low, high = math.log(least), math.log(most)
    return lambda value: start + (math.log(value) - low) / (high - low) * (end - start)


def _colour(place: int) -> str:
    return _COLOURS[place % len(_COLOURS)]


def _description(panels: Sequence[Panel]) -> str:
    told = []
    for panel in panels:
        for line in panel.lines:
            points = ", ".join([f"{number:,.0f}: {cost:,.3g}" for number, cost in line.points])
            told.append(f"{panel.title}, {line.name}: {points}")
    return "; ".join(told)
