"""The sections' pictures: Skinflint's figure over each rival's, round by round."""

from collections.abc import Mapping, Sequence

from bench.closed_loop import Measured
from bench.figures import Spread, ratios
from bench.plots import Bar, Plot, svg
from bench.report import Picture
from bench.streams import Streamed


def rate_plot(
    name: str, title: str, measured: Mapping[str, Sequence[Measured]], ours: str, targets: Mapping[str, float]
) -> Picture:
    """Calls a second."""
    rates = {each: [one.rate for one in rounds] for each, rounds in measured.items()}
    caption = "Calls that Skinflint makes while the other makes one; to the right of 1: Skinflint is faster"
    return _drawn(Plot(name, title, caption, _bars(rates, ours, targets)))


def event_plot(name: str, title: str, measured: Mapping[str, Sequence[Streamed]], ours: str, target: float) -> Picture:
    """CPU of a streamed event."""
    cpu = {each: [one.cpu_us for one in rounds] for each, rounds in measured.items()}
    caption = "Skinflint's CPU time over the other's; to the left of 1: Skinflint takes less"
    bars = _bars(cpu, ours, {"stock mitmdump": target})
    return _drawn(Plot(name, title, caption, bars, is_more_better=False))


def memory_plot(name: str, title: str, idle_mib: Mapping[str, Sequence[float]], ours: str) -> Picture:
    """Resident memory; contestants differ in the number of their starts, so the medians are compared."""
    middle = sorted(idle_mib[ours])[len(idle_mib[ours]) // 2]
    bars = [
        Bar(_label(each), Spread(*[middle / value for value in _median_most_least(values)]))
        for each, values in idle_mib.items()
        if each != ours
    ]
    caption = "Skinflint's resident memory over the other's; to the left of 1: Skinflint takes less"
    return _drawn(Plot(name, title, caption, tuple(bars), is_more_better=False))


def _drawn(plot: Plot) -> Picture:
    return Picture(plot.file_name, plot.title, svg(plot))


def _median_most_least(values: Sequence[float]) -> tuple[float, float, float]:
    ordered = sorted(values)
    return ordered[len(ordered) // 2], ordered[-1], ordered[0]


def _bars(figures: Mapping[str, Sequence[float]], ours: str, targets: Mapping[str, float]) -> tuple[Bar, ...]:
    """Of all that are somebody else's and were measured."""
    return tuple(
        [
            Bar(_label(name), ratios(figures[ours], values), targets.get(name))
            for name, values in figures.items()
            if not name.startswith((ours, "direct")) and min(values) > 0
        ]
    )


def _label(name: str) -> str:
    """Without what stands in brackets, which the tables say."""
    return name.partition(" (")[0]
