"""What alerts look at: every family is there whatever happens, and says what is."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import cast

from prometheus_client.registry import CollectorRegistry

from config.metric_labels import RESERVED
from proxy.admin.condition import Condition, Reloads
from proxy.edge.ca import LIFETIME, mint
from proxy.edge.constraints import Permitted
from proxy.edge.pins import PinKey
from proxy.stores.base import UNKNOWN, Store, StoreStats
from tests.admin.test_server import Operators

NOW = datetime.now(UTC).replace(microsecond=0)
AUTHORITY = mint(Path("/nonexistent"), Permitted.of_hosts(["api.openai.com"]), NOW)
REDIS = StoreStats("redis", UNKNOWN, UNKNOWN, UNKNOWN, evicted=0, hits=3, misses=4, failures=5, is_up=False)


class Outer:
    """A tier that is only asked how it is."""

    def stats(self) -> StoreStats:
        return REDIS


def of(operators: Operators) -> CollectorRegistry:
    registry = CollectorRegistry()
    registry.register(Condition(operators.views, lambda: AUTHORITY))
    return registry


def test_the_state_is_the_one_that_is_1() -> None:
    operators = Operators()
    operators.state = "stopping"
    registry = of(operators)
    said = {
        state: registry.get_sample_value("skinflint_state", {"state": state})
        for state in ("starting", "running", "stopping")
    }
    assert said == {"starting": 0, "running": 0, "stopping": 1}


def test_the_authority_ends_when_its_first_certificate_does() -> None:
    sooner = replace(AUTHORITY, intermediate=mint(Path(), AUTHORITY.permitted, NOW - timedelta(days=10)).intermediate)
    registry = CollectorRegistry()
    registry.register(Condition(Operators().views, lambda: sooner))
    ends_at = registry.get_sample_value("skinflint_ca_expiry_timestamp_seconds")
    assert ends_at is not None
    assert abs(ends_at - (NOW - timedelta(days=10) + LIFETIME).timestamp()) < timedelta(days=2).total_seconds()


def test_a_tier_outside_memory_says_what_it_was_asked_and_whether_it_is_down() -> None:
    operators = Operators(cast(Store, Outer()))
    near = operators.store.near.stats()
    operators.store.dropped = 6
    registry = of(operators)
    counts = [
        registry.get_sample_value("skinflint_cache_lookups_total", {"tier": "redis", "result": result})
        for result in ("hit", "miss", "failure")
    ]
    assert counts == [3, 4, 5]
    down = [registry.get_sample_value("skinflint_cache_tier_down", {"tier": tier}) for tier in ("memory", "redis")]
    assert down == [0, 1]
    assert registry.get_sample_value("skinflint_cache_limit_bytes", {"tier": "memory"}) == near.limit_bytes
    assert registry.get_sample_value("skinflint_cache_limit_bytes", {"tier": "redis"}) is None
    assert registry.get_sample_value("skinflint_cache_writes_dropped_total") == 6


def test_the_ledger_says_whether_it_can_be_written() -> None:
    operators = Operators()
    assert of(operators).get_sample_value("skinflint_ledger_degraded") == 0
    operators.ledger.state = "degraded"
    assert of(operators).get_sample_value("skinflint_ledger_degraded") == 1
    assert of(Operators(with_ledger=False)).get_sample_value("skinflint_ledger_degraded") is None


def test_limits_pins_and_the_version_are_told() -> None:
    operators = Operators()
    operators.edge.bridge.pins.rejected(PinKey("10.0.0.7", "api.openai.com", "stack"))
    registry = of(operators)
    assert registry.get_sample_value("skinflint_pins") == 1
    assert registry.get_sample_value("skinflint_client_connections_limit") == 10_000
    assert registry.get_sample_value("skinflint_ledger_queue_limit_rows") == 100_000
    (build,) = [metric for metric in registry.collect() if metric.name == "skinflint_build_info"]
    assert [sample.value for sample in build.samples] == [1]


def test_its_labels_are_no_names_for_labels_of_others() -> None:
    used = {name for metric in of(Operators()).collect() for sample in metric.samples for name in sample.labels}
    assert used <= RESERVED


def test_looks_that_found_nothing_new_are_no_reloads() -> None:
    reloads = Reloads()
    for outcome in ("unchanged", "refused", "applied", "applied"):
        reloads.count(outcome)  # type: ignore[arg-type]
    registry = CollectorRegistry()
    registry.register(reloads)
    counts = [
        registry.get_sample_value("skinflint_settings_reloads_total", {"outcome": outcome})
        for outcome in ("applied", "refused")
    ]
    assert counts == [2, 1]
