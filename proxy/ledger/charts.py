"""Charts as inline SVG, without scripts. Colours come from classes of the page that holds them.

Rules: pure functions of numbers and text; every text is escaped here; each chart has a title and a description for
those who do not see it, and each mark a tooltip. Sizes are in the units of the chart's own view box.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from proxy.ledger.wording import markup

_LEFT: Final = 72  # room for the axis's labels
_PLOT_HEIGHT: Final = 200
_TIME_WIDTH: Final = 960
_LABELS: Final = 8
_LABEL_WIDTH: Final = 84
_RING: Final = 68
_ROW_HEIGHT: Final = 46
_ROW_WIDTH: Final = 520


@dataclass(frozen=True, slots=True)
class Part:
    """One coloured part of a mark. `style` is a class of the page."""

    style: str
    amount: float


@dataclass(frozen=True, slots=True)
class Mark:
    """One bar: what it is called, its parts, and what it says when pointed at."""

    label: str
    parts: tuple[Part, ...]
    tooltip: str
    value: str = ""

    @property
    def amount(self) -> float:
        """The bar's whole length."""
        return sum(part.amount for part in self.parts)


def ticks(largest: float, wanted: int = 4) -> list[float]:
    """Round numbers from 0 to at least `largest`, about `wanted` steps."""
    if largest <= 0:
        return [0.0, 1.0]
    rough = largest / wanted
    power = 10.0 ** math.floor(math.log10(rough))
    step = next((factor * power for factor in (1, 2, 2.5, 5) if factor * power >= rough), 10 * power)
    return [step * position for position in range(math.ceil(largest / step - 1e-9) + 1)]


def over_time(marks: Sequence[Mark], *, title: str, description: str, axis: Sequence[tuple[float, str]]) -> str:
    """Stacked bars side by side; `axis` holds the amounts of the grid lines and their labels, from 0 up."""
    top = axis[-1][0]
    width = (_TIME_WIDTH - _LEFT) / max(len(marks), 1)
    bar = max(min(width * 0.72, 56.0), 1.0)
    pieces = [_head("time", f"0 0 {_TIME_WIDTH} {_PLOT_HEIGHT + 40}", title, description)]
    for amount, label in axis:
        y = _y(amount, top)
        pieces.append(f'<line class="grid" x1="{_LEFT}" x2="{_TIME_WIDTH}" y1="{y:.1f}" y2="{y:.1f}"/>')
        pieces.append(f'<text class="tick" x="{_LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{markup(label)}</text>')
    every = max(math.ceil(len(marks) / _LABELS), 1)
    for position, mark in enumerate(marks):
        x = _LEFT + width * position
        pieces.append(f"<g><title>{markup(mark.tooltip)}</title>")
        pieces.append(f'<rect class="hover" x="{x:.1f}" y="10" width="{width:.1f}" height="{_PLOT_HEIGHT}"/>')
        below = 0.0
        for part in mark.parts:
            y, foot = _y(below + part.amount, top), _y(below, top)
            below += part.amount
            if foot - y >= 0.05:
                pieces.append(
                    f'<rect class="{part.style}" x="{x + (width - bar) / 2:.1f}" y="{y:.2f}" '
                    f'width="{bar:.1f}" height="{foot - y:.2f}"/>'
                )
        pieces.append("</g>")
        if position % every == 0:
            middle = x + width / 2
            if middle > _TIME_WIDTH - _LABEL_WIDTH / 2 and position:
                continue  # it would stand out over the edge
            pieces.append(
                f'<text class="tick" x="{middle:.1f}" y="{_PLOT_HEIGHT + 32}" text-anchor="middle">'
                f"{markup(mark.label)}</text>"
            )
    return "".join((*pieces, "</svg>"))


def ring(marks: Sequence[Mark], *, title: str, description: str, middle: str, under: str) -> str:
    """Shares of a whole, with two lines of text inside."""
    whole = sum(mark.amount for mark in marks) or 1.0
    around = 2 * math.pi * _RING
    gap = 2.0 if sum(mark.amount > 0 for mark in marks) > 1 else 0.0
    pieces = [_head("ring", "0 0 200 200", title, description)]
    begun = 0.0
    for mark in marks:
        length = mark.amount / whole * around
        if length > 0:
            drawn = max(length - gap, 0.6)
            pieces.append(
                f'<circle class="{mark.parts[0].style}" cx="100" cy="100" r="{_RING}" '
                f'stroke-dasharray="{drawn:.2f} {around - drawn:.2f}" stroke-dashoffset="{-begun:.2f}" '
                f'transform="rotate(-90 100 100)"><title>{markup(mark.tooltip)}</title></circle>'
            )
        begun += length
    pieces.append(f'<text class="middle" x="100" y="103" text-anchor="middle">{markup(middle)}</text>')
    pieces.append(f'<text class="tick" x="100" y="124" text-anchor="middle">{markup(under)}</text></svg>')
    return "".join(pieces)


def ranked(marks: Sequence[Mark], *, title: str, description: str) -> str:
    """Bars below each other, each with its name and its value above it."""
    largest = max((mark.amount for mark in marks), default=0.0) or 1.0
    height = _ROW_HEIGHT * max(len(marks), 1)
    pieces = [_head("ranked", f"0 0 {_ROW_WIDTH} {height}", title, description)]
    for position, mark in enumerate(marks):
        y = position * _ROW_HEIGHT
        pieces.append(f"<g><title>{markup(mark.tooltip)}</title>")
        pieces.append(f'<text class="name" x="0" y="{y + 16}">{markup(_shortened(mark.label))}</text>')
        pieces.append(f'<text class="tick" x="{_ROW_WIDTH}" y="{y + 16}" text-anchor="end">{markup(mark.value)}</text>')
        pieces.append(f'<rect class="track" x="0" y="{y + 24}" width="{_ROW_WIDTH}" height="10" rx="3"/>')
        x = 0.0
        for part in mark.parts:
            length = part.amount / largest * _ROW_WIDTH
            if length > 0:
                pieces.append(
                    f'<rect class="{part.style}" x="{x:.2f}" y="{y + 24}" width="{max(length, 1.0):.2f}" '
                    'height="10" rx="2"/>'
                )
            x += length
        pieces.append("</g>")
    return "".join((*pieces, "</svg>"))


def _head(name: str, box: str, title: str, description: str) -> str:
    return (
        f'<svg class="chart {name}" viewBox="{box}" role="img" aria-labelledby="{name}-title {name}-text">'
        f'<title id="{name}-title">{markup(title)}</title><desc id="{name}-text">{markup(description)}</desc>'
    )


def _y(amount: float, top: float) -> float:
    return 10 + _PLOT_HEIGHT * (1 - amount / top)


def _shortened(label: str, most: int = 44) -> str:
    return label if len(label) <= most else f"{label[: most - 1]}…"
