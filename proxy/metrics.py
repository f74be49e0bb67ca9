"""Prometheus metrics. Names and labels are a contract with dashboards.

Rules: label values are bounded (past `limits.label_values` distinct ones, new ones become `other`), so a client cannot
make the process grow by inventing models. Children are looked up once for each combination and then kept.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from prometheus_client import (
    CollectorRegistry,
    Counter,
    GCCollector,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
)
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from proxy.exchange.record import NANO_PER_USD, CallRecord

_SECONDS = (0.005, 0.025, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0)
_OVERHEAD_SECONDS = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.05, 0.25, 1.0)


class BoundedValues:
    """The first `limit` distinct values as they are; later ones as `other`."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._known: set[str] = set()

    def __call__(self, value: str) -> str:
        if value in self._known:
            return value
        if len(self._known) >= self._limit:
            return "other"
        self._known.add(value)
        return value


@dataclass(frozen=True, slots=True)
class _Series:
    """Everything that one combination of labels counts into."""

    requests: Counter
    cost: Counter
    saved: Counter
    unpriced: Counter
    input_tokens: Counter
    output_tokens: Counter
    cache_read_tokens: Counter
    cache_write_tokens: Counter
    reasoning_tokens: Counter
    request_seconds: Histogram
    first_byte_seconds: Histogram
    overhead_seconds: Histogram


class Metrics:
    """All metrics of one process, in a registry of their own."""

    def __init__(self, label_values: int) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]  # they double the series and nobody asked
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        GCCollector(registry=self.registry)
        self._model = BoundedValues(label_values)
        self._series: dict[tuple[str, str, str, str, int], _Series] = {}
        by = ("provider", "operation", "model")
        reg = self.registry
        self._requests = Counter("skinflint_requests_total", "Calls answered.", (*by, "outcome", "code"), registry=reg)
        self._cost = Counter("skinflint_cost_usd_total", "Paid to providers, in USD.", by, registry=reg)
        self._saved = Counter("skinflint_saved_usd_total", "Not paid: hits and collapsed calls.", by, registry=reg)
        self._unpriced = Counter("skinflint_unpriced_total", "Paid calls whose price is unknown.", by, registry=reg)
        self._tokens = Counter("skinflint_tokens_total", "Tokens paid for, by kind.", (*by, "kind"), registry=reg)
        timed = ("provider", "operation", "outcome")
        self._request_seconds = Histogram(
            "skinflint_request_seconds", "From the request's last byte to the answer's last.", timed,
            buckets=_SECONDS, registry=reg,
        )  # fmt: skip
        self._first_byte_seconds = Histogram(
            "skinflint_first_byte_seconds", "From the request's last byte to the answer's first.", timed,
            buckets=_SECONDS, registry=reg,
        )  # fmt: skip
        self._overhead_seconds = Histogram(
            "skinflint_overhead_seconds", "The part of that which was spent in Skinflint.", ("outcome",),
            buckets=_OVERHEAD_SECONDS, registry=reg,
        )  # fmt: skip
        self.stage_failures = Counter(
            "skinflint_stage_failures_total", "Exceptions of stages, stepped over.", ("stage",), registry=reg
        )
        self.client_connections = Counter(
            "skinflint_client_connections_total", "Client connections, by what became of them.", ("kind",), registry=reg
        )
        self.bad_requests = Counter(
            "skinflint_bad_requests_total", "Requests refused because they broke the protocol.", ("code",), registry=reg
        )

    def observe(self, record: CallRecord) -> None:
        """Count one settled call."""
        key = (record.provider, record.operation, self._model(record.model), str(record.outcome), record.status)
        series = self._series.get(key)
        if series is None:
            series = self._series[key] = self._bind(key)
        series.requests.inc()
        if record.cost_nanousd is None:
            series.unpriced.inc()
        elif record.cost_nanousd:
            series.cost.inc(record.cost_nanousd / NANO_PER_USD)
        if record.saved_nanousd:
            series.saved.inc(record.saved_nanousd / NANO_PER_USD)
        if record.outcome not in ("hit", "collapsed") and (record.input_tokens or record.output_tokens):
            series.input_tokens.inc(record.input_tokens)
            series.output_tokens.inc(record.output_tokens)
            series.cache_read_tokens.inc(record.cache_read_tokens)
            series.cache_write_tokens.inc(record.cache_write_tokens)
            series.reasoning_tokens.inc(record.reasoning_tokens)
        series.request_seconds.observe(record.total_ms / 1000)
        if record.first_byte_ms is not None:
            series.first_byte_seconds.observe(record.first_byte_ms / 1000)
        series.overhead_seconds.observe(record.overhead_ms / 1000)

    def _bind(self, key: tuple[str, str, str, str, int]) -> _Series:
        provider, operation, model, outcome, code = key
        by = (provider, operation, model)
        timed = (provider, operation, outcome)

        def tokens(kind: str) -> Counter:
            return self._tokens.labels(*by, kind)

        return _Series(
            requests=self._requests.labels(*by, outcome, str(code)),
            cost=self._cost.labels(*by),
            saved=self._saved.labels(*by),
            unpriced=self._unpriced.labels(*by),
            input_tokens=tokens("input"),
            output_tokens=tokens("output"),
            cache_read_tokens=tokens("cache_read"),
            cache_write_tokens=tokens("cache_write"),
            reasoning_tokens=tokens("reasoning"),
            request_seconds=self._request_seconds.labels(*timed),
            first_byte_seconds=self._first_byte_seconds.labels(*timed),
            overhead_seconds=self._overhead_seconds.labels(outcome),
        )


@dataclass(frozen=True, slots=True)
class Gauge:
    """A value that is read when it is asked for."""

    name: str
    help: str
    labels: tuple[str, ...]
    read: Callable[[], Iterable[tuple[tuple[str, ...], float]]]


class LiveGauges(Collector):
    """Gauges whose values are looked up at each scrape, so that nothing has to keep them current."""

    def __init__(self, gauges: Iterable[Gauge]) -> None:
        self._gauges = tuple(gauges)

    def collect(self) -> Iterable[Metric]:
        for gauge in self._gauges:
            family = GaugeMetricFamily(gauge.name, gauge.help, labels=gauge.labels)
            for labels, value in gauge.read():
                family.add_metric(labels, value)
            yield family
