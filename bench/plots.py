"""Pictures of ratios as SVG: a bar for each contestant from "the same" to the median, with a line from least to most.

Rules: pure functions of a run's figures; every text is escaped. The scale is logarithmic, so that twice and half are as
long as one another. A picture has its own background and follows the reader's light or dark setting by itself.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from html import escape
from typing import Final

from bench.figures import Spread

_WIDTH: Final = 820
_LEFT: Final = 210  # room for names
_RIGHT: Final = 170  # and for figures
_TOP: Final = 62
_ROW: Final = 36
_BAR: Final = 16
_FOOT: Final = 44
_STYLE: Final = (
    ".card{fill:#fff;stroke:#d1d9e0}text{font:13px system-ui,-apple-system,'Segoe UI',sans-serif;fill:#1f2328}"
    ".title{font-size:15px;font-weight:600}.soft{fill:#59636e;font-size:12px}.grid{stroke:#e4e8ec}"
    ".same{stroke:#59636e}.better{fill:#2a9d74}.worse{fill:#d9822b}.spread{stroke:#1f2328;stroke-width:1.5}"
    ".target{stroke:#8250df;stroke-width:2.5}"
    "@media (prefers-color-scheme:dark){.card{fill:#0d1117;stroke:#3d444d}text{fill:#f0f6fc}.soft{fill:#9198a1}"
    ".grid{stroke:#262c36}.same{stroke:#9198a1}.better{fill:#3fb68b}.worse{fill:#e3934a}.spread{stroke:#f0f6fc}"
    ".target{stroke:#ab7df8}}"
)


@dataclass(frozen=True, slots=True)
class Bar:
    """Skinflint's figure over a contestant's."""

    label: str
    ratio: Spread
    target: float | None = None


@dataclass(frozen=True, slots=True)
class Plot:
    """One picture."""

    name: str
    title: str
    caption: str  # below the axis: what 1 and the direction mean
    bars: tuple[Bar, ...]
    is_more_better: bool = True

    @property
    def file_name(self) -> str:
        """Beside the page."""
        return f"benchmarks-{self.name}.svg"


def ticks(least: float, most: float) -> list[float]:
    """Round numbers (1, 2, 5, 10, …) from below `least` to above `most`; 1 is among them."""
    low = math.floor(math.log10(min(least, 1.0)))
    high = math.ceil(math.log10(max(most, 1.0)))
    steps = [factor * 10.0**power for power in range(low, high + 1) for factor in (1, 2, 5)]
    first = max([step for step in steps if step <= min(least, 1.0) * 1.0001])
    last = min([step for step in steps if step >= max(most, 1.0) * 0.9999])
    return [step for step in steps if first <= step <= last]


def svg(plot: Plot) -> str:
    """The picture's text."""
    targets = [bar.target for bar in plot.bars if bar.target]
    scale = ticks(
        min([bar.ratio.least for bar in plot.bars] + targets, default=0.5),
        max([bar.ratio.most for bar in plot.bars] + targets, default=2.0),
    )
    height = _TOP + _ROW * len(plot.bars) + _FOOT
    low, high = math.log(scale[0]), math.log(max(scale[-1], scale[0] * 2))

    def x(ratio: float) -> float:
        return _LEFT + (math.log(ratio) - low) / (high - low) * (_WIDTH - _LEFT - _RIGHT)

    pieces = [_head(plot, height)]
    foot = height - _FOOT
    for tick in scale:
        pieces.append(_line("same" if tick == 1 else "grid", x(tick), _TOP, x(tick), foot + 4))
        pieces.append(f'<text class="soft" x="{x(tick):.1f}" y="{foot + 20}" text-anchor="middle">{tick:g}×</text>')
    for position, bar in enumerate(plot.bars):
        pieces += _bar(plot, bar, _TOP + _ROW * position + _ROW / 2, x(1), x)
    legend = "line: least to most" + (" · violet: the target" if targets else "")
    pieces.append(f'<text class="soft" x="{_WIDTH - 16}" y="{height - 8}" text-anchor="end">{legend}</text></svg>\n')
    return "".join(pieces)


def _head(plot: Plot, height: int) -> str:
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" width="{_WIDTH}" height="{height}" '
        f'role="img"><title>{escape(plot.title)}</title><desc>{escape(_description(plot))}</desc>'
        f'<style>{_STYLE}</style><rect class="card" x=".5" y=".5" width="{_WIDTH - 1}" height="{height - 1}" rx="6"/>'
        f'<text class="title" x="16" y="27">{escape(plot.title)}</text>'
        f'<text class="soft" x="16" y="46">{escape(plot.caption)}</text>'
    )


def _bar(plot: Plot, bar: Bar, middle: float, same: float, x: Callable[[float], float]) -> list[str]:
    ratio = bar.ratio
    is_better = (ratio.median >= 1) == plot.is_more_better
    left, right = sorted((same, x(ratio.median)))
    digits = 1 if ratio.median >= 10 else 2
    style, width = "better" if is_better else "worse", max(right - left, 1)
    pieces = [
        f'<text x="{_LEFT - 12}" y="{middle + 4.5:.1f}" text-anchor="end">{escape(bar.label)}</text>',
        _rect(style, left, middle - _BAR / 2, width),
        _line("spread", x(ratio.least), middle, x(ratio.most), middle),
        *[_tall("spread", x(end), middle, 4) for end in (ratio.least, ratio.most)],
    ]
    if bar.target:
        pieces.append(_tall("target", x(bar.target), middle, _ROW / 2 - 4))
    pieces.append(f'<text x="{_WIDTH - 16}" y="{middle + 4.5:.1f}" text-anchor="end">{ratio.show(digits, "×")}</text>')
    return pieces


def _tall(style: str, x: float, middle: float, half: float) -> str:
    return _line(style, x, middle - half, x, middle + half)


def _line(style: str, x1: float, y1: float, x2: float, y2: float) -> str:
    return f'<line class="{style}" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"/>'


def _rect(style: str, x: float, y: float, width: float) -> str:
    return f'<rect class="{style}" x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{_BAR}" rx="2"/>'


def _description(plot: Plot) -> str:
    bars = "; ".join([f"{bar.label}: {bar.ratio.show(2)}" for bar in plot.bars])
    return f"{plot.caption}. {bars}."
