"""How the proxy is, for alerts: its state, its limits, its tiers, its certificates, and what became of new settings.

Rules: read when somebody scrapes, never on a call's path. Every family is always there, so that an alert can tell "no"
from "unknown"; what is a state is a number that can be added up over workers.
"""

from collections.abc import Callable, Iterator
from typing import Final, Literal

from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from proxy import version
from proxy.admin.views import Views
from proxy.edge.ca import CertificateAuthority

_STATES: Final = ("starting", "running", "stopping")


class Condition(Collector):
    """See the module."""

    def __init__(self, views: Views, authority: Callable[[], CertificateAuthority]) -> None:
        self._views = views
        self._authority = authority

    def collect(self) -> Iterator[Metric]:
        yield from self._process()
        yield from self._tiers()
        yield from self._ledger()

    def _process(self) -> Iterator[Metric]:
        settings, bridge = self._views.snapshot().settings, self._views.bridge
        build = GaugeMetricFamily(
            "skinflint_build_info", "1; the label says which version this is.", labels=["version"]
        )
        build.add_metric([version()], 1)
        yield build
        state = GaugeMetricFamily("skinflint_state", "1 for the state that it is in.", labels=["state"])
        current = self._views.state()
        for name in _STATES:
            state.add_metric([name], name == current)
        yield state
        yield GaugeMetricFamily(
            "skinflint_client_connections_limit", "Client connections that it takes.", settings.limits.max_connections
        )
        yield GaugeMetricFamily(
            "skinflint_pins", "Clients and hosts that are tunnelled as pinned.", sum(bridge.pins.pinned().values())
        )
        yield GaugeMetricFamily(
            "skinflint_ca_expiry_timestamp_seconds", "When the certificate authority ends.", self._ca_ends_at()
        )

    def _ca_ends_at(self) -> float:
        authority = self._authority()
        return min(authority.root.not_valid_after_utc, authority.intermediate.not_valid_after_utc).timestamp()

    def _tiers(self) -> Iterator[Metric]:
        by = ["tier"]
        limit = GaugeMetricFamily("skinflint_cache_limit_bytes", "What a tier may hold.", labels=by)
        down = GaugeMetricFamily("skinflint_cache_tier_down", "1 while a tier cannot be used.", labels=by)
        evictions = CounterMetricFamily("skinflint_cache_evictions", "Answers given up for lack of room.", labels=by)
        lookups = CounterMetricFamily(
            "skinflint_cache_lookups",
            "Look-ups in tiers outside memory, by result: hit, miss or failure.",
            labels=["tier", "result"],
        )
        for index, tier in enumerate(self._views.store.each_stats()):
            if tier.limit_bytes >= 0:
                limit.add_metric([tier.tier], tier.limit_bytes)
            down.add_metric([tier.tier], not tier.is_up)
            evictions.add_metric([tier.tier], tier.evicted)
            if index:  # memory does not count
                for result, count in (("hit", tier.hits), ("miss", tier.misses), ("failure", tier.failures)):
                    lookups.add_metric([tier.tier, result], count)
        yield from (limit, down, evictions, lookups)
        yield CounterMetricFamily(
            "skinflint_cache_writes_dropped",
            "Answers that outer tiers were not given, as too many were under way.",
            self._views.store.dropped,
        )

    def _ledger(self) -> Iterator[Metric]:
        if (ledger := self._views.ledger) is None:
            return
        yield GaugeMetricFamily(
            "skinflint_ledger_degraded", "1 while rows cannot be written.", ledger.status().state != "ok"
        )
        yield GaugeMetricFamily(
            "skinflint_ledger_queue_limit_rows",
            "Rows that may wait; more are lost.",
            self._views.snapshot().settings.ledger.queue_rows,
        )


type Outcome = Literal["unchanged", "applied", "refused"]


class Reloads(Collector):
    """What became of changed settings."""

    def __init__(self, applied: int = 0, refused: int = 0) -> None:
        self._counts: dict[Outcome, int] = {"applied": applied, "refused": refused}

    def count(self, outcome: Outcome) -> None:
        """One look at the files."""
        if outcome in self._counts:
            self._counts[outcome] += 1

    def collect(self) -> Iterator[Metric]:
        family = CounterMetricFamily(
            "skinflint_settings_reloads", "Changes of settings by outcome: applied, refused.", labels=["outcome"]
        )
        for outcome, count in self._counts.items():
            family.add_metric([outcome], count)
        yield family
