"""What several workers tell, as one."""

from pathlib import Path

import pytest
from prometheus_client.exposition import generate_latest
from prometheus_client.metrics import Counter, Gauge, Histogram
from prometheus_client.registry import CollectorRegistry

from proxy.counters import Counted
from proxy.metrics import Labelled, Metrics
from proxy.workers.samples import Exposed, Family, added, counting, families_of
from proxy.workers.told import Fields, Told, Totals, keep_totals, kept_totals, read_told, stats_of_all, written
from tests.admin.rows import row


def registry(count: int) -> CollectorRegistry:
    """Of a worker that has seen `count` calls."""
    made = CollectorRegistry()
    Counter("calls", "Calls.", ["kind"], registry=made).labels("a").inc(count)
    times = Histogram("seconds", "Times.", buckets=(1, 2), registry=made)
    for number in range(count):
        times.observe(number)
    Gauge("open", "Open.", registry=made).set(count)
    return made


def value(families: list[Family], name: str, **labels: str) -> float:
    """The one sample of this name and these labels."""
    (found,) = [
        value
        for family in families
        for sample, given, value in family.samples
        if (sample, labels) == (name, {key: text for key, text in given if key in labels})
    ]
    return found


def gauge(name: str, value: float, *labels: tuple[str, str]) -> list[Family]:
    return [Family(name, "", "gauge", ((name, labels, value),))]


def test_counters_histograms_and_gauges_are_added() -> None:
    families = added([families_of(registry(2)), families_of(registry(3))])
    assert value(families, "calls_total", kind="a") == 5
    assert value(families, "seconds_bucket", le="1.0") == 4
    assert value(families, "seconds_count") == 5
    assert value(families, "seconds_sum") == 1 + 3
    assert value(families, "open") == 5


def test_the_sum_is_shown_as_one_worker_would() -> None:
    alone = generate_latest(registry(3)).decode()
    both = generate_latest(Exposed(added([families_of(registry(3)), []]))).decode()
    assert [line for line in both.splitlines() if "_created" not in line] == [
        line for line in alone.splitlines() if "_created" not in line
    ]


def test_calls_add_up_by_their_labels_and_all_of_it_has_the_process_own() -> None:
    workers = [Metrics(100, ("app",)), Metrics(100, ("app",))]
    for app, metrics in (("a", workers[0]), ("a", workers[1]), ("b", workers[1])):
        metrics.calls.observe(row(labels={"app": app}))
    families = added([families_of(metrics.registry) for metrics in workers])
    shown = families_of(Labelled(Exposed(families), {"pod": "web-1"}))
    assert value(shown, "skinflint_requests_total", app="a", pod="web-1") == 2
    assert value(shown, "skinflint_requests_total", app="b", pod="web-1") == 1


@pytest.mark.parametrize(
    ("name", "labels", "expected"),
    [
        ("process_max_fds", (), 7),
        ("process_start_time_seconds", (), 3),
        ("skinflint_cache_bytes", (("tier", "shared"),), 7),
        ("skinflint_cache_bytes", (("tier", "memory"),), 10),
        ("skinflint_cache_bytes", (("tier", "disk"),), 7),
        ("skinflint_cache_limit_bytes", (("tier", "disk"),), 7),
        ("skinflint_build_info", (("version", "1"),), 7),
        ("skinflint_ca_expiry_timestamp_seconds", (), 3),
    ],
)
def test_not_every_gauge_is_added(name: str, labels: tuple[tuple[str, str], ...], expected: float) -> None:
    families = added([gauge(name, 3, *labels), gauge(name, 7, *labels)])
    assert value(families, name) == expected


def test_what_counts_is_kept_and_what_is_a_state_is_not() -> None:
    families = [*families_of(registry(1)), *gauge("skinflint_ledger_rows", 5, ("state", "written"))]
    families += gauge("skinflint_ledger_rows", 5, ("state", "queued"))
    samples = [name for family in counting(families) for name, _, _ in family.samples if "created" not in name]
    assert samples.count("skinflint_ledger_rows") == 1
    assert {"calls_total", "seconds_sum"} < set(samples)
    assert "open" not in samples


def test_what_is_told_is_understood() -> None:
    families = families_of(registry(2))
    totals = Totals(families, Counted({"hit": 2}, 1, 2, 3, 4), 5, 6)
    told = Told(totals, families, {"profile": "production"}, ready=True, reasons=("degraded: x",))
    assert read_told(written(told)) == told


@pytest.mark.parametrize("text", [b"", b"[]", b"{}", b'{"totals": 3}'])
def test_what_nobody_tells_is_refused(text: bytes) -> None:
    with pytest.raises(ValueError):
        read_told(text)


def test_totals_outlive_their_worker(tmp_path: Path) -> None:
    file = tmp_path / "totals.0"
    assert kept_totals(file) == Totals()
    totals = Totals(families_of(registry(2)), Counted({"hit": 2}), 3, 4)
    keep_totals(file, totals)
    assert kept_totals(file) == totals
    assert [path.name for path in tmp_path.iterdir()] == ["totals.0"]


@pytest.mark.parametrize("text", ["", "{", "[]", '{"families": 1}'])
def test_damaged_totals_are_none(tmp_path: Path, text: str) -> None:
    (tmp_path / "totals.0").write_text(text)
    assert kept_totals(tmp_path / "totals.0") == Totals()


def stats(**fields: object) -> Fields:
    """What one worker says of itself."""
    tier = {"entries": 1, "used_bytes": 10, "limit_bytes": 100, "evicted": 0}
    return {
        "version": "1",
        "uptime_s": 1.0,
        "profile": "production",
        "calls": {},
        "cache": {"memory": tier, "shared": tier},
        "client_connections": 2,
        "exchanges_in_flight": 1,
        "pinned": {"api.openai.com": 1},
        "fleet_flights": {"led": 1, "replayed": 0, "following": 2},
        "upstream": [{"origin": "a:443", "protocol": "h2", "connections": 1, "in_flight": 2, "waiting": 0}],
        "ledger": {"state": "ok", "reason": "", "queued": 1, "written": 9, "lost": 9},
        "process": {"resident_bytes": None, "open_files": 3, "tasks": {"other": 1}},
        **fields,
    }


def told(outcomes: dict[str, int], said: Fields) -> Told:
    return Told(Totals(counted=Counted(outcomes, paid_nanousd=10**9), ledger_written=3, ledger_lost=1), stats=said)


def test_statistics_add_up() -> None:
    degraded = {"state": "degraded", "reason": "disk full", "queued": 1, "written": 9, "lost": 9}
    own = stats()
    both = stats_of_all(
        [told({"hit": 1}, own), told({"hit": 2, "miss": 1}, stats(uptime_s=5, ledger=degraded, pinned={"b": 2}))], own
    )
    calls, cache, ledger = both["calls"], both["cache"], both["ledger"]
    assert isinstance(calls, dict)
    assert isinstance(cache, dict)
    assert (calls["total"], calls["hit"], calls["hit_ratio"], calls["cost_usd"]) == (4, 3, 0.75, 2.0)
    assert (cache["memory"]["entries"], cache["shared"]["entries"]) == (2, 1)
    assert both["uptime_s"] == 5
    assert (both["client_connections"], both["exchanges_in_flight"]) == (4, 2)
    assert both["upstream"] == [{"origin": "a:443", "protocol": "h2", "connections": 2, "in_flight": 4, "waiting": 0}]
    assert both["pinned"] == {"api.openai.com": 1, "b": 2}
    assert both["fleet_flights"] == {"led": 2, "replayed": 0, "following": 4}
    assert both["process"] == {"resident_bytes": None, "open_files": 6, "tasks": {"other": 2}}
    assert ledger == {"state": "degraded", "reason": "disk full", "queued": 2, "written": 6, "lost": 2}


def test_of_a_silent_worker_what_it_counted_is_known() -> None:
    own = stats()
    both = stats_of_all([told({"hit": 1}, own), told({"hit": 2}, {})], own)
    calls = both["calls"]
    assert isinstance(calls, dict)
    assert (calls["total"], both["client_connections"]) == (3, 2)


def test_without_a_ledger_there_is_none() -> None:
    own = stats(ledger=None)
    assert stats_of_all([told({}, own)], own)["ledger"] is None


def test_without_a_fleet_there_are_no_flights_of_it() -> None:
    own = stats(fleet_flights=None)
    assert stats_of_all([told({}, own)], own)["fleet_flights"] is None
