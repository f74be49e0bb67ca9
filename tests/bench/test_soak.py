"""What a soak compares, and when it passes."""

from collections import Counter
from dataclasses import replace

import pytest

from bench.soak.report import Outcome, show
from bench.soak.samples import MIB, Stats, Tolerance, growth, read_stats
from bench.soak.tally import Tally, differences

REST = Stats(
    resident_mib=100.0,
    open_files=20,
    threads=8,
    tasks={"flight": 0, "pool clock": 1, "other": 3},
    client_connections=0,
    upstream_connections=0,
    upstream_in_flight=0,
    ledger_queued=0,
    ledger_lost=0,
    cache_bytes=1000,
    cache_evicted=5,
)
TOLERANCE = Tolerance(resident_mib=10.0)


def test_what_is_as_it_was_has_not_grown() -> None:
    assert growth(REST, replace(REST, resident_mib=110.0, open_files=23, threads=12), TOLERANCE) == []


@pytest.mark.parametrize(
    ("after", "name"),
    [
        (replace(REST, resident_mib=110.1), "resident memory"),
        (replace(REST, open_files=24), "open files"),
        (replace(REST, threads=13), "threads"),
        (replace(REST, tasks={"other": 5, "pool clock": 1}), "other tasks"),
        (replace(REST, tasks={"flight": 1, "other": 3, "pool clock": 1}), "1 flight"),
        (replace(REST, tasks={"other": 3, "pool clock": 2}), "pools besides the one in force"),
        (replace(REST, client_connections=1), "client connections"),
        (replace(REST, upstream_connections=1), "upstream connections"),
        (replace(REST, ledger_queued=2), "ledger rows waiting"),
        (replace(REST, ledger_lost=1), "ledger rows lost"),
    ],
)
def test_each_growth_is_named(after: Stats, name: str) -> None:
    (found,) = growth(REST, after, TOLERANCE)
    assert name in found


def test_statistics_are_read_from_what_the_proxy_says() -> None:
    said = {
        "process": {
            "resident_bytes": 100 * MIB,
            "open_files": 20,
            "threads": 2,
            "kernel_threads": 8,
            "tasks": {"flight": 0, "pool clock": 1, "other": 3},
        },
        "client_connections": 0,
        "upstream": [
            {"origin": "a:1", "protocol": "HTTP/2", "connections": 1, "in_flight": 2, "waiting": 3},
            {"origin": "b:1", "protocol": "HTTP/2", "connections": 1, "in_flight": 0, "waiting": 0},
        ],
        "ledger": {"queued": 0, "lost": 0, "written": 9, "state": "ok", "reason": ""},
        "cache": {"memory": {"used_bytes": 1000, "evicted": 5, "entries": 1, "limit_bytes": 2}},
    }
    assert read_stats(said) == replace(REST, upstream_connections=2, upstream_in_flight=5)


def test_the_ledger_is_compared_by_kind() -> None:
    asked = Counter(hit=3, miss=2)
    assert differences(asked, Counter(), Counter(hit=3, miss=2)) == []
    assert differences(asked, Counter(), Counter(hit=2, miss=2, never=1)) == [
        "hit: the ledger owes 3 rows and has 2",
        "never: the ledger owes 0 rows and has 1",
    ]


@pytest.mark.parametrize(("rows", "is_fine"), [(2, False), (3, True), (5, True), (6, False)])
def test_calls_of_clients_that_left_may_never_have_been_read(rows: int, is_fine: bool) -> None:
    found = differences(Counter(left=5), Counter(left=2), Counter(left=rows))
    assert found == ([] if is_fine else [f"left: the ledger owes 3 to 5 rows and has {rows}"])


def test_failures_are_all_counted_and_some_of_them_kept() -> None:
    tally = Tally()
    for number in range(100):
        tally.failed("hit", f"reason {number}")
    assert (tally.wrong, len(tally.texts), tally.texts[0]) == (100, 20, "hit: reason 0")


@pytest.mark.parametrize("trouble", ["grown", "miscounted", "logged_errors"])
def test_any_trouble_fails_it_and_is_shown(trouble: str) -> None:
    good = Outcome(
        minutes=1.0,
        looks=((0.0, REST), (1.0, REST)),
        acts={"hit": 2},
        asked={"hit": 6},
        tunnelled_bytes=0,
        reloads=1,
        grown=(),
        miscounted=(),
        slow=0,
        wrong=0,
        wrong_texts=(),
        logged_errors=(),
    )
    bad = replace(good, **{trouble: ("something about it",)})  # type: ignore[arg-type] # all three are lists of texts
    assert (good.passed, bad.passed) == (True, False)
    assert show(good).endswith("\npassed")
    assert "something about it" in show(bad)
