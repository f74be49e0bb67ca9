"""Prometheus metrics. Names and labels are a contract with dashboards.

Rules: label values are bounded (past `limits.label_values` distinct models, new ones become `other`), so a client
cannot make the process grow by inventing models. Labels of the process itself are put on at exposition. Calls are
counted in plain numbers and become samples when somebody scrapes: everything runs on one event loop, so the library's
locks would only cost (eleven of them a call).
"""

from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from prometheus_client.gc_collector import GCCollector
from prometheus_client.metrics import Counter, disable_created_metrics
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector, CollectorRegistry
from prometheus_client.utils import floatToGoString

from proxy.exchange.record import NANO_PER_USD, CallRecord

_SECONDS = (0.005, 0.025, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0)
_OVERHEAD_SECONDS = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.05, 0.25, 1.0)
_KINDS = ("input", "output", "cache_read", "cache_write", "reasoning", "audio")
_MOST_SERIES = 10_000  # of calls; what would be one more counts as `other`, in its model and labels

# Provider, operation, model, outcome, status, and the values of labels that the settings want of each call.
type _Key = tuple[str, str, str, str, int, tuple[str, ...]]


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


class Times:
    """A histogram's counts."""

    __slots__ = ("_bounds", "_counts", "_sum")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self._bounds = bounds
        self._counts = [0] * (len(bounds) + 1)
        self._sum = 0.0

    def observe(self, seconds: float) -> None:
        """Count one duration."""
        self._counts[bisect_left(self._bounds, seconds)] += 1
        self._sum += seconds

    def buckets(self) -> tuple[list[tuple[str, float]], float]:
        """Cumulative counts by upper bound, and the sum, as the exposition wants them."""
        total, cumulative = 0, []
        for bound, count in zip((*self._bounds, float("inf")), self._counts, strict=True):
            total += count
            cumulative.append((floatToGoString(bound), float(total)))  # type: ignore[no-untyped-call]
        return cumulative, self._sum


@dataclass(slots=True)
class Spending:
    """What one provider, operation and model came to."""

    cost_nanousd: int = 0
    saved_nanousd: int = 0
    unpriced: int = 0
    tokens: list[int] = field(default_factory=lambda: [0] * len(_KINDS))


@dataclass(slots=True)
class _Series:
    """Everything that one combination of labels counts into."""

    spending: Spending
    request: Times
    first_byte: Times
    overhead: Times
    calls: int = 0


class Calls(Collector):
    """Counts settled calls, and shows them when asked."""

    def __init__(self, label_values: int, by_call: Sequence[str] = ()) -> None:
        """`by_call`: labels of calls that are told apart besides, each bounded as models are."""
        self._model = BoundedValues(label_values)
        self._by_call = tuple(by_call)
        self._bounds = tuple(BoundedValues(label_values) for _ in by_call)
        self._series: dict[_Key, _Series] = {}
        self._spending: dict[tuple[str, ...], Spending] = {}
        self._request: dict[tuple[str, str, str], Times] = {}
        self._first_byte: dict[tuple[str, str, str], Times] = {}
        self._overhead: dict[tuple[str], Times] = {}
        self._errors: dict[tuple[str, str], int] = {}

    def observe(self, record: CallRecord) -> None:
        """Count one settled call."""
        labels = self._values(record.labels) if self._by_call else ()
        key = (record.provider, record.operation, self._model(record.model), record.outcome, record.status, labels)
        series = self._series.get(key)
        if series is None:
            series = self._bind(key)
        series.calls += 1
        spending = series.spending
        if record.cost_nanousd is None:
            spending.unpriced += 1
        else:
            spending.cost_nanousd += record.cost_nanousd
        spending.saved_nanousd += record.saved_nanousd or 0
        if record.outcome not in ("hit", "collapsed"):
            tokens = spending.tokens
            tokens[0] += record.input_tokens
            tokens[1] += record.output_tokens
            tokens[2] += record.cache_read_tokens
            tokens[3] += record.cache_write_tokens
            tokens[4] += record.reasoning_tokens
            tokens[5] += record.audio_tokens
        series.request.observe(record.total_ms / 1000)
        if record.first_byte_ms is not None:
            series.first_byte.observe(record.first_byte_ms / 1000)
        series.overhead.observe(record.overhead_ms / 1000)
        if record.error and record.outcome != "refused":
            why = (record.provider, record.error)  # words of ours
            self._errors[why] = self._errors.get(why, 0) + 1

    def _values(self, labels: Mapping[str, str]) -> tuple[str, ...]:
        return tuple([bounded(labels.get(name, "")) for name, bounded in zip(self._by_call, self._bounds, strict=True)])

    def _bind(self, key: _Key) -> _Series:
        provider, operation, model, outcome, status, labels = key
        if len(self._series) >= _MOST_SERIES:
            model, labels = "other", ("other",) * len(labels)
            key = (provider, operation, model, outcome, status, labels)
            if (known := self._series.get(key)) is not None:
                return known
        timed = (provider, operation, str(outcome))
        series = self._series[key] = _Series(
            spending=self._spending.setdefault((provider, operation, model, *labels), Spending()),
            request=self._request.setdefault(timed, Times(_SECONDS)),
            first_byte=self._first_byte.setdefault(timed, Times(_SECONDS)),
            overhead=self._overhead.setdefault((str(outcome),), Times(_OVERHEAD_SECONDS)),
        )
        return series

    def collect(self) -> Iterator[Metric]:
        by = ("provider", "operation", "model")
        told_apart = (*by, "outcome", "code", *self._by_call)
        requests = CounterMetricFamily("skinflint_requests", "Calls answered.", labels=told_apart)
        for (*said, code, labels), series in self._series.items():
            requests.add_metric((*map(str, said), str(code), *labels), series.calls)
        yield requests
        by_caller = (*by, *self._by_call)
        cost = CounterMetricFamily("skinflint_cost_usd", "Paid to providers, in USD.", labels=by_caller)
        saved = CounterMetricFamily("skinflint_saved_usd", "Not paid: hits and collapsed calls.", labels=by_caller)
        unpriced = CounterMetricFamily("skinflint_unpriced", "Paid calls whose price is unknown.", labels=by_caller)
        tokens = CounterMetricFamily("skinflint_tokens", "Tokens paid for, by kind.", labels=(*by_caller, "kind"))
        for values, spending in self._spending.items():
            cost.add_metric(values, spending.cost_nanousd / NANO_PER_USD)
            saved.add_metric(values, spending.saved_nanousd / NANO_PER_USD)
            unpriced.add_metric(values, spending.unpriced)
            for kind, count in zip(_KINDS, spending.tokens, strict=True):
                if count:
                    tokens.add_metric((*values, kind), count)
        yield from (cost, saved, unpriced, tokens)
        errors = CounterMetricFamily("skinflint_errors", "Calls that went wrong, by why.", labels=("provider", "error"))
        for why, count in self._errors.items():
            errors.add_metric(why, count)
        yield errors
        timed = ("provider", "operation", "outcome")
        yield _histogram(
            "skinflint_request_seconds", "From the request's last byte to the answer's last.", timed, self._request
        )
        yield _histogram(
            "skinflint_first_byte_seconds",
            "From the request's last byte to the answer's first.",
            timed,
            self._first_byte,
        )
        yield _histogram(
            "skinflint_overhead_seconds", "The part of it that was spent in Skinflint.", ("outcome",), self._overhead
        )


def _histogram[K: tuple[str, ...]](
    name: str, text: str, labels: tuple[str, ...], times: dict[K, Times]
) -> HistogramMetricFamily:
    family = HistogramMetricFamily(name, text, labels=labels)
    for key, observed in times.items():
        buckets, total = observed.buckets()
        family.add_metric(key, buckets, total)
    return family


class Metrics:
    """All metrics of one process, in a registry of their own."""

    def __init__(self, label_values: int, by_call: Sequence[str] = ()) -> None:
        """See Calls."""
        disable_created_metrics()  # type: ignore[no-untyped-call]  # they double the series and nobody asked
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        GCCollector(registry=self.registry)
        self.calls = Calls(label_values, by_call)
        self.registry.register(self.calls)
        reg = self.registry
        self.stage_failures = Counter(
            "skinflint_stage_failures_total", "Exceptions of stages, stepped over.", ("stage",), registry=reg
        )
        self.client_connections = Counter(
            "skinflint_client_connections_total", "Client connections, by what became of them.", ("kind",), registry=reg
        )
        self.refused = Counter(
            "skinflint_refused_total", "Clients and destinations that were refused, by why.", ("reason",), registry=reg
        )
        self.bad_requests = Counter(
            "skinflint_bad_requests_total", "Requests refused because they broke the protocol.", ("code",), registry=reg
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


class Labelled(Collector):
    """What another collector has, with labels that say whose all of it is. A sample's own label stays."""

    def __init__(self, collector: Collector, labels: Mapping[str, str]) -> None:
        self._collector = collector
        self._labels = labels

    def collect(self) -> Iterator[Metric]:
        for metric in self._collector.collect():
            labelled = Metric(metric.name, metric.documentation, metric.type, metric.unit)
            labelled.samples = [sample._replace(labels={**self._labels, **sample.labels}) for sample in metric.samples]
            yield labelled
