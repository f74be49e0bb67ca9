"""The webhook's metrics, and what its process uses. Their labels have few values, all of them ours."""

from datetime import datetime

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.process_collector import ProcessCollector

_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1.0, 5.0)


class Counts:
    """See the module."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self.reviews = Counter(
            "skinflint_injector_reviews",
            "Reviews by outcome: injected, unchanged, skipped, refused, malformed, failed or busy.",
            ["outcome"],
            registry=self.registry,
        )
        self.seconds = Histogram(
            "skinflint_injector_review_seconds",
            "Time from a review's head to its answer.",
            buckets=_BUCKETS,
            registry=self.registry,
        )
        self.reloads = Counter(
            "skinflint_injector_reloads",
            "Changes of files by what (certificate, settings) and outcome (applied, refused).",
            ["what", "outcome"],
            registry=self.registry,
        )
        self._expiry = Gauge(
            "skinflint_injector_certificate_expiry_timestamp_seconds",
            "When the certificate that is served ends.",
            registry=self.registry,
        )

    def expires(self, at: datetime) -> None:
        """Tell when the certificate ends."""
        self._expiry.set(at.timestamp())
