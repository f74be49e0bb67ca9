"""The plot of the growth section: CPU of a call over how much there is of something, as one SVG with panels.

Rules: pure. Sizes are on a logarithmic axis, costs on a linear one that begins at 0 and is the same for all panels, so
that flat looks flat. Colours hold on light and dark pages; each line is named where it ends.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final
from xml.sax.saxutils import escape

from bench.figures import Spread

_WIDTH: Final = 300
_HEIGHT: Final = 260
_LEFT: Final = 52
_RIGHT: Final = 42
_TOP: Final = 28
_BOTTOM: Final = 56
_ALT: Final = "CPU of a call over connections, cached answers and labels"
_STYLE: Final = """<style>
text{font:12px system-ui,sans-serif;fill:#57606a}.grid{stroke:#8c959f;stroke-opacity:.3}
.hit{stroke:#1a7f64;fill:#1a7f64}.miss{stroke:#c2410c;fill:#c2410c}.line{fill:none;stroke-width:2}
.name{stroke:none}@media(prefers-color-scheme:dark){text{fill:#9da7b1}.hit{stroke:#3fb68b;fill:#3fb68b}
.miss{stroke:#f0883e;fill:#f0883e}}
</style>"""


@dataclass(frozen=True, slots=True)
class Line:
    """Costs of one kind of call (`hit` or `miss`) by size, in order."""

    kind: str
    points: tuple[tuple[int, Spread], ...]


@dataclass(frozen=True, slots=True)
class Panel:
    """One thing that grows."""

    title: str
    lines: tuple[Line, ...]


def plot(panels: Sequence[Panel]) -> str:
    """The SVG."""
    highest = max(point.most for panel in panels for line in panel.lines for _, point in line.points)
    top = _round_up(highest)
    width = _WIDTH * len(panels)
    pieces = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {_HEIGHT}" role="img" aria-label="{_ALT}">',
        _STYLE,
        '<text x="8" y="16">CPU of a call, µs (median, least to most)</text>',
    ]
    for number, panel in enumerate(panels):
        pieces.append(f'<g transform="translate({number * _WIDTH} 0)">{_panel(panel, top)}</g>')
    return "\n".join([*pieces, "</svg>\n"])


def _round_up(value: float) -> float:
    """A round number that is not less, with quarters that are round too."""
    power = 10.0 ** math.floor(math.log10(value))
    return next(factor * power for factor in (1, 2, 4, 6, 8, 10) if factor * power >= value)


def _panel(panel: Panel, top: float) -> str:
    sizes = [size for size, _ in panel.lines[0].points]
    low, high = math.log10(min(sizes)), math.log10(max(sizes))
    span = (high - low) or 1.0

    def x(size: int) -> float:
        return _LEFT + (math.log10(size) - low) / span * (_WIDTH - _LEFT - _RIGHT)

    def y(cost: float) -> float:
        return _HEIGHT - _BOTTOM - cost / top * (_HEIGHT - _TOP - _BOTTOM)

    pieces = []
    for quarter in range(5):
        cost = top * quarter / 4
        pieces.append(f'<line class="grid" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y(cost):.1f}" y2="{y(cost):.1f}"/>')
        pieces.append(f'<text x="{_LEFT - 6}" y="{y(cost) + 4:.1f}" text-anchor="end">{cost:,.0f}</text>')
    foot = _HEIGHT - _BOTTOM + 18
    pieces += [f'<text x="{x(size):.1f}" y="{foot}" text-anchor="middle">{_short(size)}</text>' for size in sizes]
    middle = (_LEFT + _WIDTH - _RIGHT) / 2
    pieces.append(f'<text x="{middle}" y="{_HEIGHT - 14}" text-anchor="middle">{escape(panel.title)}</text>')
    for line in panel.lines:
        pieces += _line(line, x, y)
    return "".join(pieces)


def _line(line: Line, x: Callable[[int], float], y: Callable[[float], float]) -> list[str]:
    path = " ".join(f"{x(size):.1f},{y(cost.median):.1f}" for size, cost in line.points)
    pieces = [f'<polyline class="line {line.kind}" points="{path}"/>']
    for size, cost in line.points:
        pieces.append(
            f'<g class="{line.kind}"><title>{size:,}: {escape(cost.show(0))} µs</title>'
            f'<line x1="{x(size):.1f}" x2="{x(size):.1f}" y1="{y(cost.least):.1f}" y2="{y(cost.most):.1f}"/>'
            f'<circle cx="{x(size):.1f}" cy="{y(cost.median):.1f}" r="3.5"/></g>'
        )
    size, cost = line.points[-1]
    pieces.append(
        f'<text class="name {line.kind}" x="{x(size) + 8:.1f}" y="{y(cost.median) + 4:.1f}">{line.kind}</text>'
    )
    return pieces


def _short(size: int) -> str:
    """1,000 is 1k, 1,000,000 is 1M."""
    for limit, unit in ((1_000_000, "M"), (1_000, "k")):
        if size >= limit:
            return f"{size / limit:g}{unit}"
    return str(size)
