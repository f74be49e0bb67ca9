"""Metrics as plain values, so that they can be sent, kept and added up.

Rules: counters and histograms are added. So are gauges, but for those of which a sum says nothing: a limit is the
highest, a start the earliest, and what all workers share is seen by each of them and counted once.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

type Labels = tuple[tuple[str, str], ...]
type Sample = tuple[str, Labels, float]

# Each worker watches all pods, and has the same build.
_HIGHEST: Final = frozenset(
    {"process_max_fds", "skinflint_access_pods", "skinflint_access_pods_age_seconds", "skinflint_build_info"}
)
_EARLIEST: Final = frozenset({"process_start_time_seconds", "skinflint_ca_expiry_timestamp_seconds"})
_SHARED_TIER: Final = ("tier", "shared")
_OWN_TIER: Final = ("tier", "memory")
_OF_TIERS: Final = frozenset({"skinflint_cache_bytes", "skinflint_cache_entries", "skinflint_cache_limit_bytes"})
_COUNTING: Final = frozenset({"counter", "histogram"})
_COUNTING_STATES: Final = {"skinflint_ledger_rows": {("state", "written"), ("state", "lost")}}


@dataclass(frozen=True, slots=True)
class Family:
    """One metric with all its samples."""

    name: str
    help: str
    kind: str
    samples: tuple[Sample, ...]


def families_of(collector: Collector) -> list[Family]:
    """Everything that a collector has now."""
    return [
        Family(
            metric.name,
            metric.documentation,
            metric.type,
            tuple((sample.name, tuple(sample.labels.items()), sample.value) for sample in metric.samples),
        )
        for metric in collector.collect()
    ]


def added(workers: Iterable[Sequence[Family]]) -> list[Family]:
    """The families of several workers as one's. Samples keep their order, which histograms need."""
    first: dict[str, Family] = {}
    values: dict[str, dict[tuple[str, Labels], float]] = {}
    for families in workers:
        for family in families:
            first.setdefault(family.name, family)
            mine = values.setdefault(family.name, {})
            for name, labels, value in family.samples:
                key = (name, labels)
                mine[key] = _both(name, labels, mine[key], value) if key in mine else value
    return [
        Family(name, family.help, family.kind, tuple((*key, value) for key, value in values[name].items()))
        for name, family in first.items()
    ]


def _both(name: str, labels: Labels, one: float, other: float) -> float:
    if name in _HIGHEST or _SHARED_TIER in labels or (name in _OF_TIERS and _OWN_TIER not in labels):
        return max(one, other)
    if name in _EARLIEST:
        return min(one, other)
    return one + other


def counting(families: Iterable[Family]) -> list[Family]:
    """Only what counts events, and so must never fall."""
    kept = []
    for family in families:
        if family.kind in _COUNTING:
            kept.append(family)
        elif states := _COUNTING_STATES.get(family.name):
            samples = tuple(sample for sample in family.samples if states.intersection(sample[1]))
            kept.append(Family(family.name, family.help, family.kind, samples))
    return kept


class Exposed(Collector):
    """Families, to be shown."""

    def __init__(self, families: Iterable[Family]) -> None:
        self._families = tuple(families)

    def collect(self) -> Iterator[Metric]:
        for family in self._families:
            metric = Metric(family.name, family.help, family.kind)
            for name, labels, value in family.samples:
                metric.add_sample(name, dict(labels), value)
            yield metric
