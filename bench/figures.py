"""Medians, percentiles and ratios of rounds, and how they are written.

Rules: pure. A ratio is taken between rounds that followed one another, never between medians of different minutes.
"""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Spread:
    """What several rounds gave."""

    median: float
    least: float
    most: float

    def show(self, digits: int = 2, unit: str = "") -> str:
        """`median (least–most)`."""
        return f"{self.median:,.{digits}f}{unit} ({self.least:,.{digits}f}–{self.most:,.{digits}f})"


def spread(values: Sequence[float]) -> Spread:
    """Over one value a round."""
    return Spread(statistics.median(values), min(values), max(values))


def ratios(ours: Sequence[float], theirs: Sequence[float]) -> Spread:
    """Ours over theirs, round by round."""
    return spread([mine / other for mine, other in zip(ours, theirs, strict=True)])


def differences(ours: Sequence[float], theirs: Sequence[float]) -> Spread:
    """Ours less theirs, round by round."""
    return spread([mine - other for mine, other in zip(ours, theirs, strict=True)])


def percentile(ordered: Sequence[int], share: float) -> float:
    """The value below which `share` of them lie; nearest rank. `ordered` is not empty."""
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]
