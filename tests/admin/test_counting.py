"""What is counted of every call: the metrics, the running totals, and the log line."""

import asyncio
import io
import json
from typing import cast

import pytest
from prometheus_client import CollectorRegistry

from config.schema import Log
from proxy.call_log import CallLog
from proxy.counters import Counters
from proxy.exchange.record import CallRecord, Outcome
from proxy.metrics import BoundedValues, Labelled, Metrics
from tests.admin.rows import row


def value(registry: CollectorRegistry, name: str, **labels: str) -> float | None:
    return registry.get_sample_value(name, labels)


def counted(*rows: CallRecord, limit: int = 100, by_call: tuple[str, ...] = ()) -> CollectorRegistry:
    metrics = Metrics(limit, by_call)
    for each in rows:
        metrics.calls.observe(each)
    return metrics.registry


OF = {"provider": "openai", "operation": "chat", "model": "m"}


def test_money_and_tokens_add_up() -> None:
    registry = counted(row(), row(cost_nanousd=500_000_000, reasoning_tokens=1, cache_read_tokens=4, audio_tokens=3))
    assert value(registry, "skinflint_requests_total", **OF, outcome="miss", code="200") == 2
    assert value(registry, "skinflint_cost_usd_total", **OF) == pytest.approx(0.500011)
    assert value(registry, "skinflint_tokens_total", **OF, kind="input") == 18
    assert value(registry, "skinflint_tokens_total", **OF, kind="audio") == 3
    assert value(registry, "skinflint_tokens_total", **OF, kind="cache_write") is None


def test_what_was_not_paid_is_saved_and_not_counted_as_tokens() -> None:
    registry = counted(row(outcome=Outcome.HIT, cost_nanousd=0, saved_nanousd=1_000_000_000))
    assert value(registry, "skinflint_saved_usd_total", **OF) == 1
    assert value(registry, "skinflint_tokens_total", **OF, kind="input") is None


def test_an_unknown_price_is_counted_and_not_added() -> None:
    registry = counted(row(cost_nanousd=None, saved_nanousd=None))
    assert value(registry, "skinflint_unpriced_total", **OF) == 1
    assert value(registry, "skinflint_cost_usd_total", **OF) == 0


def test_durations_are_histograms() -> None:
    registry = counted(row(total_ms=5.0, overhead_ms=0.1), row(total_ms=1e9, first_byte_ms=None))
    timed = {"provider": "openai", "operation": "chat", "outcome": "miss"}
    assert value(registry, "skinflint_request_seconds_bucket", **timed, le="0.005") == 1
    assert value(registry, "skinflint_request_seconds_bucket", **timed, le="600.0") == 1
    assert value(registry, "skinflint_request_seconds_bucket", **timed, le="+Inf") == 2
    assert value(registry, "skinflint_request_seconds_count", **timed) == 2
    assert value(registry, "skinflint_first_byte_seconds_count", **timed) == 1
    assert value(registry, "skinflint_overhead_seconds_bucket", outcome="miss", le="0.0001") == 1


def test_a_client_that_invents_models_does_not_make_us_grow() -> None:
    registry = counted(*(row(model=f"m{number}") for number in range(50)), limit=10)
    models = {
        sample.labels["model"] for family in registry.collect() for sample in family.samples if "model" in sample.labels
    }
    assert len(models) == 11
    assert value(registry, "skinflint_requests_total", **{**OF, "model": "other"}, outcome="miss", code="200") == 40


def test_labels_of_calls_tell_their_counts_apart() -> None:
    billing, search = row(labels={"app": "billing", "x": "y"}), row(labels={"app": "search", "team": "t"})
    registry = counted(billing, billing, search, row(), by_call=("team", "app"))
    called = {**OF, "outcome": "miss", "code": "200"}
    assert value(registry, "skinflint_requests_total", **called, team="", app="billing") == 2
    assert value(registry, "skinflint_requests_total", **called, team="t", app="search") == 1
    assert value(registry, "skinflint_requests_total", **called, team="", app="") == 1
    assert value(registry, "skinflint_tokens_total", **OF, team="t", app="search", kind="input") == 9
    assert value(registry, "skinflint_cost_usd_total", **OF, team="", app="billing") == pytest.approx(0.000022)
    assert value(registry, "skinflint_request_seconds_count", provider="openai", operation="chat", outcome="miss") == 4


def test_a_client_that_invents_labels_does_not_make_us_grow() -> None:
    rows = [row(labels={"app": f"a{number}", "team": "t"}) for number in range(50)]
    registry = counted(*rows, limit=10, by_call=("app", "team"))
    called = {**OF, "outcome": "miss", "code": "200"}
    assert value(registry, "skinflint_requests_total", **called, app="other", team="t") == 40
    assert value(registry, "skinflint_requests_total", **called, app="a9", team="t") == 1


def test_however_labels_and_models_multiply_the_series_are_bounded() -> None:
    rows = [row(model=f"m{model}", labels={"app": f"a{app}"}) for model in range(150) for app in range(100)]
    calls = Metrics(1_000, ("app",)).calls
    for each in rows:
        calls.observe(each)
    requests = next(family for family in calls.collect() if family.name == "skinflint_requests")
    assert len(requests.samples) == 10_001
    assert sum(sample.value for sample in requests.samples) == 15_000
    last = requests.samples[-1]
    assert (last.labels["model"], last.labels["app"], last.value) == ("other", "other", 5_000)


def test_labels_of_the_process_stand_on_every_sample_but_never_over_its_own() -> None:
    metrics = Metrics(100, ("app",))
    metrics.calls.observe(row(labels={"app": "billing"}))
    shown = list(Labelled(metrics.registry, {"pod": "web-1", "app": "web"}).collect())
    samples = [sample for family in shown for sample in family.samples]
    assert {sample.labels["pod"] for sample in samples} == {"web-1"}
    assert {sample.labels["app"] for sample in samples if sample.name == "skinflint_requests_total"} == {"billing"}
    assert {sample.labels["app"] for sample in samples if sample.name.startswith("process_")} == {"web"}


def test_known_values_stay_known() -> None:
    bounded = BoundedValues(1)
    assert [bounded("a"), bounded("b"), bounded("a")] == ["a", "other", "a"]


# -- running totals


def test_totals_say_how_much_was_answered_here() -> None:
    counters = Counters()
    assert counters.totals()["hit_ratio"] is None
    for outcome in (Outcome.HIT, Outcome.COLLAPSED, Outcome.MISS, Outcome.MISS, Outcome.BYPASS, Outcome.ERROR):
        counters.count(
            row(outcome=outcome, cost_nanousd=None, saved_nanousd=2_000_000_000, potential_nanousd=500_000_000)
        )
    totals = counters.totals()
    assert totals["total"] == 6
    assert (totals["hit"], totals["miss"], totals["error"]) == (1, 2, 1)
    assert totals["hit_ratio"] == 0.5
    assert (totals["cost_usd"], totals["saved_usd"], totals["would_have_saved_usd"]) == (0, 12, 3)
    assert totals["unpriced"] == 6


# -- the log line


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class Gone(io.StringIO):
    """Standard error that somebody closed."""

    def write(self, text: str) -> int:
        raise BrokenPipeError


def logging_to(stream: io.StringIO, level: str = "info", form: str = "json") -> CallLog:
    log = CallLog(stream)
    log.configure(Log.model_validate({"level": level, "format": form}))
    return log


async def test_a_call_is_one_line_of_json() -> None:
    stream = io.StringIO()
    log = logging_to(stream)
    log.write(row(labels={"app": "a"}, error="connection_timeout"))
    assert not stream.getvalue()  # lines are written together
    log.flush()
    line = json.loads(stream.getvalue())
    assert line["event"] == "call"
    assert line["time"] == "2023-11-14T22:13:20.250+00:00"
    assert (line["outcome"], line["status"], line["error"]) == ("miss", 200, "connection_timeout")
    assert (line["cost_usd"], line["saved_usd"], line["labels"]) == (0.000011, 0, {"app": "a"})


async def test_a_line_without_more_to_say_is_shorter() -> None:
    stream = io.StringIO()
    log = logging_to(stream)
    log.write(row(cost_nanousd=None))
    log.flush()
    line = json.loads(stream.getvalue())
    assert line["cost_usd"] == "unpriced"
    assert "error" not in line
    assert "labels" not in line


async def test_lines_are_written_without_being_asked() -> None:
    stream = io.StringIO()
    log = logging_to(stream)
    log.write(row())
    async with asyncio.timeout(5):
        while not stream.getvalue():
            await asyncio.sleep(0.01)


async def test_many_lines_do_not_wait() -> None:
    stream = io.StringIO()
    log = logging_to(stream)
    for _ in range(1000):
        log.write(row())
    assert stream.getvalue().count("\n") == 1000
    log.flush()


@pytest.mark.parametrize(("more", "expected"), [
    ({}, "miss      200 openai/chat m 9+2 tokens $0.000011 600.0 ms"),
    ({"cost_nanousd": None, "model": "", "error": "x"}, "openai/chat - 9+2 tokens unpriced 600.0 ms (x)"),
    ({"saved_nanousd": 1_500_000}, "$0.000011 saved $0.001500 600.0 ms"),
])  # fmt: skip
async def test_a_person_reads_text(more: dict[str, object], expected: str) -> None:
    stream = Terminal()
    log = logging_to(stream, form="auto")
    log.write(row(**more))
    log.flush()
    assert expected in stream.getvalue()


@pytest.mark.parametrize("level", ["warning", "error"])
async def test_a_higher_level_says_nothing(level: str) -> None:
    stream = io.StringIO()
    log = logging_to(stream, level)
    log.write(row())
    log.flush()
    assert not stream.getvalue()


async def test_when_standard_error_is_gone_nothing_more_is_tried() -> None:
    log = logging_to(cast(io.StringIO, Gone()))
    for _ in range(2):
        log.write(row())
        log.flush()
