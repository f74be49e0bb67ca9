"""What came of calls on routes with `semantic`, for the metrics: counts and a histogram, and no text."""

from collections import Counter
from collections.abc import Iterator
from typing import Final, Literal

from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from proxy.exchange.record import NANO_PER_USD
from proxy.metrics import Times

_SIMILARITIES: Final = (0.5, 0.6, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95, 0.98, 1.0)

# hit: answered. would_hit: shadow, and it would have been. below: the model said no. gone: what was alike is not stored
# any more, or too old. none: nothing alike was asked. unready: no vector now. unfit: not a plain text to compare.
type Result = Literal["hit", "would_hit", "below", "gone", "none", "unready", "unfit"]


class SemanticCounts(Collector):
    """Shows nothing until something has been counted."""

    def __init__(self) -> None:
        self._results: Counter[Result] = Counter()
        self._similarities = Times(_SIMILARITIES)
        self._would_save_nanousd = 0
        self.texts = 0  # in the index

    def count(self, result: Result) -> None:
        """One call."""
        self._results[result] += 1

    def similarity(self, cosine: float) -> None:
        """Of the nearest text that the guards let pass."""
        self._similarities.observe(cosine)

    def would_save(self, nanousd: int | None) -> None:
        """What the answer had cost that a call in shadow mode would have got."""
        self._would_save_nanousd += nanousd or 0

    def of(self, result: Result) -> int:
        """How many calls so far."""
        return self._results[result]

    def collect(self) -> Iterator[Metric]:
        if not self._results:
            return
        calls = CounterMetricFamily("skinflint_semantic", "Calls on routes with `semantic`.", labels=("result",))
        for result, count in self._results.items():
            calls.add_metric((result,), count)
        yield calls
        yield CounterMetricFamily(
            "skinflint_semantic_would_save_usd",
            "What calls in shadow mode paid for again, in USD.",
            self._would_save_nanousd / NANO_PER_USD,
        )
        yield GaugeMetricFamily("skinflint_semantic_texts", "Texts with vectors.", self.texts)
        family = HistogramMetricFamily(
            "skinflint_semantic_similarity", "Cosine similarity to the nearest text that the guards let pass."
        )
        buckets, total = self._similarities.buckets()
        family.add_metric((), buckets, total)
        yield family
