"""What a run came to, and how it is shown.

Rules: pure. Times are milliseconds; a figure that nobody could take is None, and shown as a dash.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field


@dataclass(frozen=True, slots=True)
class Times:
    """Of all calls."""

    p50_ms: float
    p90_ms: float
    p99_ms: float


@dataclass(slots=True)
class Counted:
    """What the load generator saw."""

    calls: int = 0  # answered with 200, completely
    pieces: int = 0  # of streamed answers
    errors: dict[str, int] = field(default_factory=dict)  # by what went wrong
    latencies_ns: list[int] = field(default_factory=list)
    first_bytes_ns: list[int] = field(default_factory=list)
    seconds: float = 0.0

    def failed(self, reason: str) -> None:
        """A call without a good answer."""
        self.errors[reason] = self.errors.get(reason, 0) + 1


@dataclass(frozen=True, slots=True)
class Figures:
    """The outcome."""

    work: str
    proxy: str
    origin: str
    connections: int
    seconds: float
    calls: int
    errors: dict[str, int]
    calls_per_s: float
    pieces_per_s: float
    answer: Times | None  # from sending a request to the last byte of its answer
    first_byte: Times | None
    load_cores: float  # what the load generator took
    upstream_cores: float | None  # what the built-in upstream took
    proxy_cores: float | None  # what Skinflint took, where it runs on this machine
    proxy_cpu_us: float | None  # the same for a call
    outcomes: dict[str, int] | None  # Skinflint's own count


def times(values_ns: Sequence[int]) -> Times | None:
    """Percentiles by nearest rank; None of nothing."""
    if not values_ns:
        return None
    ordered = sorted(values_ns)

    def at(share: float) -> float:
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))] / 1e6

    return Times(at(0.5), at(0.9), at(0.99))


def as_json(figures: Figures) -> dict[str, object]:
    """For programs."""
    return asdict(figures)


def show(figures: Figures) -> str:
    """For people."""
    rows = [
        ("calls", f"{figures.calls:,} in {figures.seconds:.1f} s on {figures.connections} connections"),
        ("calls/s", f"{figures.calls_per_s:,.0f}"),
        ("answer, ms", _times(figures.answer)),
        ("first byte, ms", _times(figures.first_byte)),
    ]
    if figures.work == "streams":
        rows.append(("pieces/s", f"{figures.pieces_per_s:,.0f}"))
    rows.append(("errors", ", ".join(f"{count:,} {reason}" for reason, count in figures.errors.items()) or "none"))
    if figures.proxy_cores is not None and figures.proxy_cpu_us is not None:
        cpu = f"{figures.proxy_cpu_us:,.0f} µs a call, {figures.proxy_cores:.0%} of a core"
        rows.append(("Skinflint's CPU", cpu))
    if figures.outcomes is not None:
        shown = ", ".join(f"{name} {count:,}" for name, count in figures.outcomes.items() if count)
        rows.append(("Skinflint counted", shown or "nothing"))
    rows.append(("load side", _load(figures)))
    width = max(len(name) for name, _ in rows)
    title = f"{figures.work} through {figures.proxy} to {figures.origin}"
    return "\n".join([title, *[f"  {name:<{width}}  {text}" for name, text in rows], *_warnings(figures)])


def _times(found: Times | None) -> str:
    return "–" if found is None else f"p50 {found.p50_ms:.2f}   p90 {found.p90_ms:.2f}   p99 {found.p99_ms:.2f}"


def _load(figures: Figures) -> str:
    text = f"generator {figures.load_cores:.0%} of a core"
    return text if figures.upstream_cores is None else f"{text}, upstream {figures.upstream_cores:.0%}"


def _warnings(figures: Figures) -> list[str]:
    """Whoever takes a whole core may be what was measured."""
    busy = (("load generator", figures.load_cores), ("built-in upstream", figures.upstream_cores or 0.0))
    return [
        f"  The {name} had no CPU to spare: the proxy may be faster than this." for name, cores in busy if cores > 0.9
    ]
