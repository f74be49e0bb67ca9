"""Reports against sums made by hand, and the law that groups add up to the totals."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from sqlalchemy.dialects import postgresql

from proxy.exchange.record import CallRecord, Outcome
from proxy.ledger import query
from proxy.ledger.faults import LedgerError
from proxy.ledger.figures import Measures, Money, Report, Times, Tokens, Waste
from proxy.ledger.location import default_url, sqlite_path
from proxy.ledger.opening import open_store
from proxy.ledger.report import BUCKET_MINUTES, MOST_BUCKETS, build_report, parse_since, percentiles
from tests.ledger.conftest import Fill
from tests.ledger.rows import NOON, call

NOW = datetime.fromtimestamp(NOON + 86_400, UTC)
SINCE = datetime.fromtimestamp(NOON - 86_400, UTC)

# Made by hand: two models, six outcomes, one unpriced call, one that could have been saved.
ROWS = (
    call(0, cost_nanousd=1_000, total_ms=10.0, overhead_ms=1.0, first_byte_ms=5.0),
    call(1, outcome=Outcome.HIT, cost_nanousd=0, saved_nanousd=700, total_ms=1.0, overhead_ms=1.0, first_byte_ms=1.0),
    call(2, outcome=Outcome.COLLAPSED, cost_nanousd=0, saved_nanousd=300, total_ms=9.0, first_byte_ms=None),
    call(3, outcome=Outcome.BYPASS, cost_nanousd=2_000, potential_nanousd=2_000, total_ms=20.0, streamed=True),
    call(4, model="o9", cost_nanousd=None, started_at=NOON + 3600, labels={}, total_ms=40.0, reasoning_tokens=8),
    call(5, model="o9", outcome=Outcome.REFUSED, status=429, cost_nanousd=0, labels={"app": "chat"}, client="10.0.0.2"),
    call(6, model="o9", outcome=Outcome.ERROR, status=502, cost_nanousd=0, provider="azure", estimated=True),
)


def report_on(url: str, *by: str, **where: str) -> Report:
    return build_report(url, since=SINCE, by=by, where={k.replace("__", ":"): v for k, v in where.items()}, now=NOW)


def test_totals_are_the_sums(fill: Fill, url: str) -> None:
    fill(ROWS)
    totals = report_on(url).totals
    assert totals == Measures(
        calls=7,
        hits=1,
        collapsed=1,
        misses=2,
        bypass=1,
        refused=1,
        errors=1,
        tokens=Tokens(input=700, output=140, reasoning=8),
        cost=Money(3_000, unpriced_calls=1),
        saved=Money(1_000),
        potential=Money(2_000),
        unpriced_calls=1,
        estimated_calls=1,
        total=Times(20.0, 100.0),
        overhead=Times(0.2, 1.0),
        first_byte=Times(80.0, 80.0),
    )
    assert totals.hit_ratio == 0.5
    assert totals.hit_share == 2 / 7
    assert totals.saved_share == 0.25


def test_groups_have_their_own_sums_and_percentiles(fill: Fill, url: str) -> None:
    fill(ROWS)
    groups = {group.keys: group.measures for group in report_on(url, "model").groups}
    assert list(groups) == [("gpt-4o-mini",), ("o9",)]
    mini = groups["gpt-4o-mini",]
    assert (mini.calls, mini.cost, mini.saved) == (4, Money(3_000), Money(1_000))
    assert mini.total == Times(9.0, 20.0)
    assert mini.hit_ratio == 2 / 3
    assert groups["o9",].cost == Money(0, unpriced_calls=1)
    assert groups["o9",].cost.is_unknown
    assert groups["o9",].hit_ratio == 0.0


@pytest.mark.parametrize(
    ("by", "expected"),
    [
        ("provider", {"openai": 6, "azure": 1}),
        ("operation", {"chat": 7}),
        ("outcome", {"miss": 2, "hit": 1, "collapsed": 1, "bypass": 1, "refused": 1, "error": 1}),
        ("status", {"200": 5, "429": 1, "502": 1}),
        ("client", {"10.0.0.1": 6, "10.0.0.2": 1}),
        ("credential", {"abcdef012345": 7}),
        ("streamed", {"no": 6, "yes": 1}),
        ("label:app", {"billing": 5, "chat": 1, "(none)": 1}),
        ("label:absent", {"(none)": 7}),
        ("day", {"2026-01-01": 7}),
        ("hour", {"2026-01-01 12:00": 6, "2026-01-01 13:00": 1}),
    ],
)
def test_calls_are_grouped_by(by: str, expected: dict[str, int], fill: Fill, url: str) -> None:
    fill(ROWS)
    assert {group.keys[0]: group.measures.calls for group in report_on(url, by).groups} == expected


def test_groupings_are_combined(fill: Fill, url: str) -> None:
    fill(ROWS)
    groups = {group.keys: group.measures.calls for group in report_on(url, "model", "label:app", "hour").groups}
    assert groups == {
        ("gpt-4o-mini", "billing", "2026-01-01 12:00"): 4,
        ("o9", "(none)", "2026-01-01 13:00"): 1,
        ("o9", "chat", "2026-01-01 12:00"): 1,
        ("o9", "billing", "2026-01-01 12:00"): 1,
    }


@pytest.mark.parametrize(
    ("where", "calls"),
    [
        ({"model": "o9"}, 3),
        ({"model": "gpt-*"}, 4),
        ({"model": "gpt_4*"}, 0),
        ({"model": "o9", "provider": "azure"}, 1),
        ({"status": "429"}, 1),
        ({"status": "5*"}, 1),
        ({"streamed": "yes"}, 1),
        ({"label__app": "chat"}, 1),
        ({"label__app": "(none)"}, 1),
        ({"client": "' OR 1=1 --"}, 0),
    ],
)
def test_calls_are_filtered(where: dict[str, str], calls: int, fill: Fill, url: str) -> None:
    fill(ROWS)
    assert report_on(url, "model", **where).totals.calls == calls


@pytest.mark.parametrize("name", ["", "cost_nanousd", "label:", 'label:a"b', "label:a\\b", "Model"])
def test_a_grouping_that_is_none_is_named_with_those_that_are(name: str, fill: Fill, url: str) -> None:
    fill(ROWS)
    with pytest.raises(ValueError, match="allowed: provider, operation, model"):
        report_on(url, name)
    with pytest.raises(ValueError, match="allowed"):
        build_report(url, since=SINCE, where={name: "x"}, now=NOW)


def test_a_grouping_named_twice_and_an_empty_time_are_errors(url: str) -> None:
    with pytest.raises(ValueError, match="twice"):
        report_on(url, "model", "model")
    with pytest.raises(ValueError, match="empty"):
        build_report(url, since=NOW, now=NOW)


def test_the_time_is_half_open(fill: Fill, url: str) -> None:
    fill([call(0, started_at=NOON), call(1, started_at=NOON + 1), call(2, started_at=NOON + 2)])
    since, until = datetime.fromtimestamp(NOON, UTC), datetime.fromtimestamp(NOON + 2, UTC)
    assert build_report(url, since=since, until=until, now=NOW).totals.calls == 2


def test_a_time_without_calls_is_an_empty_report(fill: Fill, url: str) -> None:
    fill(ROWS)
    report = build_report(url, since=NOW - timedelta(hours=1), now=NOW)
    assert report.totals == Measures()
    assert (report.groups, report.series, report.waste, report.projection) == ((), (), (), None)
    assert report.totals.hit_ratio is None


def test_waste_names_what_was_paid_again(fill: Fill, url: str) -> None:
    again = [call(number, model="dear", potential_nanousd=900) for number in range(10, 13)]
    unpriced = call(20, model="unknown", cost_nanousd=None, potential_nanousd=None)
    fill([*ROWS, *again, unpriced])
    assert report_on(url).waste == (
        Waste("openai", "chat", "dear", 3, Money(2_700)),
        Waste("openai", "chat", "gpt-4o-mini", 1, Money(2_000)),
        Waste("openai", "chat", "unknown", 1, Money(0, unpriced_calls=1)),
    )


def test_the_projection_is_from_the_first_call_when_the_ledger_is_younger_than_the_time(fill: Fill, url: str) -> None:
    fill(ROWS)
    projection = report_on(url).projection
    assert projection is not None
    assert projection.observed_s == 86_400
    assert projection.is_sound
    assert (projection.cost, projection.saved) == (Money(90_000, 30), Money(30_000))


def test_the_projection_is_from_the_whole_time_when_the_ledger_is_older(fill: Fill, url: str) -> None:
    fill([call(100, started_at=NOON - 10 * 86_400), *ROWS])
    projection = report_on(url).projection
    assert projection is not None
    assert projection.observed_s == 2 * 86_400
    assert projection.cost.nanousd == 45_000


@pytest.mark.parametrize(("seconds", "is_given"), [(59, False), (60, True)])
def test_a_moments_traffic_is_not_projected(seconds: int, is_given: bool, fill: Fill, url: str) -> None:
    fill([call(0)])
    report = build_report(url, since=SINCE, now=datetime.fromtimestamp(NOON + seconds, UTC))
    assert (report.projection is not None) == is_given
    assert report.projection is None or not report.projection.is_sound


def test_the_series_has_no_gaps_and_sums_to_the_totals(fill: Fill, url: str) -> None:
    fill([*ROWS, call(50, started_at=NOON + 80_000)])
    report = report_on(url)
    starts = [bucket.start for bucket in report.series]
    assert starts == [starts[0] + timedelta(seconds=report.bucket_s) * step for step in range(len(starts))]
    assert sum(bucket.calls for bucket in report.series) == report.totals.calls
    assert sum(bucket.cost.nanousd for bucket in report.series) == report.totals.cost.nanousd
    assert sum(bucket.answered_here for bucket in report.series) == 2


@pytest.mark.parametrize("minutes", [1, 30, 47, 48, 600, 3_000, 50_000, 500_000, 5_000_000])
def test_there_are_never_many_buckets(minutes: int, fill: Fill, url: str) -> None:
    now = datetime.fromtimestamp(NOON + minutes * 60, UTC)
    fill([call(0, started_at=NOON), call(1, started_at=NOON + minutes * 60 - 0.5)])
    report = build_report(url, since=datetime.fromtimestamp(NOON - 5, UTC), now=now)
    assert 1 <= len(report.series) <= MOST_BUCKETS + 1
    assert report.bucket_s % 60 == 0
    assert report.bucket_s >= BUCKET_MINUTES[0] * 60


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([], Times()),
        ([3.0], Times(3.0, 3.0)),
        ([2.0, 1.0], Times(1.0, 2.0)),
        ([float(n) for n in range(1, 101)], Times(50.0, 95.0)),
        ([float(n) for n in range(1, 22)], Times(11.0, 20.0)),
    ],
)
def test_percentiles_are_by_nearest_rank(values: list[float], expected: Times) -> None:
    assert percentiles(values) == expected


@pytest.mark.parametrize(("text", "seconds"), [("90m", 5400), ("24h", 86_400), (" 7D ", 604_800), ("2w", 1_209_600)])
def test_since_may_be_a_length_of_time(text: str, seconds: int) -> None:
    assert parse_since(text, now=NOW) == NOW - timedelta(seconds=seconds)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2025-12-31", datetime(2025, 12, 31, tzinfo=UTC)),
        ("2025-12-31T08:00", datetime(2025, 12, 31, 8, tzinfo=UTC)),
        ("2025-12-31T08:00+02:00", datetime(2025, 12, 31, 6, tzinfo=UTC)),
        ("2025-12-31T08:00Z", datetime(2025, 12, 31, 8, tzinfo=UTC)),
    ],
)
def test_since_may_be_a_date(text: str, expected: datetime) -> None:
    assert parse_since(text, now=NOW) == expected


@pytest.mark.parametrize("text", ["", "7", "d", "7y", "-3d", "1.5h", "yesterday", "2026-13-01", "999999w"])
def test_since_that_makes_no_sense_names_the_forms(text: str) -> None:
    with pytest.raises(ValueError, match="write 90m, 24h, 7d"):
        parse_since(text, now=NOW)


@pytest.mark.parametrize("text", ["2199-01-01", "0h"])
def test_since_must_be_past(text: str) -> None:
    with pytest.raises(ValueError, match="not in the past"):
        parse_since(text, now=NOW)


def test_a_missing_ledger_is_said(url: str, tmp_path: Path) -> None:
    with pytest.raises(LedgerError, match="there is no ledger at"):
        report_on(url)
    path = sqlite_path(url)
    assert path is not None
    path.parent.mkdir()
    path.write_bytes(b"")
    with pytest.raises(LedgerError, match="there is no ledger in"):
        report_on(url)
    path.write_bytes(b"nonsense" * 1000)
    with pytest.raises(LedgerError, match="cannot read the ledger"):
        report_on(url)


@pytest.mark.parametrize("by", [(), ("model",), ("label:app", "day"), ("streamed", "hour", "client")])
def test_the_questions_are_valid_for_postgresql(by: tuple[str, ...]) -> None:
    scope = query.Scope(SINCE, NOW, (("label:app", "bil*"), ("status", "200"), ("streamed", "yes")))
    for question in (
        query.sums(scope, by),
        query.times(scope, by),
        query.over_time(scope, 60),
        query.repeats(scope, 5),
    ):
        statement = str(question.compile(dialect=postgresql.dialect()))
        assert "FROM calls" in statement
        assert "json_extract" not in statement.lower()


records = st.lists(
    st.builds(
        CallRecord,
        id=st.just(""),
        started_at=st.floats(NOON - 40_000, NOON + 40_000),
        client=st.sampled_from(["10.0.0.1", "10.0.0.2"]),
        provider=st.sampled_from(["openai", "anthropic"]),
        operation=st.sampled_from(["chat", "embeddings"]),
        model=st.sampled_from(["a", "b", ""]),
        status=st.sampled_from([0, 200, 429]),
        outcome=st.sampled_from(Outcome),
        streamed=st.booleans(),
        input_tokens=st.integers(0, 10**9),
        cost_nanousd=st.none() | st.integers(0, 10**12),
        saved_nanousd=st.none() | st.integers(0, 10**12),
        potential_nanousd=st.none() | st.integers(0, 10**12),
        first_byte_ms=st.none() | st.floats(0, 1e6),
        total_ms=st.floats(0, 1e6),
        labels=st.dictionaries(st.sampled_from(["app", "team"]), st.text(max_size=5)),
    ),
    max_size=30,
)
groupings = st.lists(
    st.sampled_from([*query.GROUPINGS, *query.PERIODS, "label:app", "label:team"]), unique=True, min_size=1, max_size=4
)


# Shrinking would take minutes: each example is a database.
@settings(
    max_examples=40,
    deadline=None,
    phases=(Phase.explicit, Phase.reuse, Phase.generate),
    suppress_health_check=[HealthCheck.too_slow],
)
@given(rows=records, by=groupings)
def test_groups_and_steps_of_time_add_up_to_the_totals(rows: list[CallRecord], by: list[str]) -> None:
    for number, row in enumerate(rows):
        row.id = f"{number:026d}"
    with TemporaryDirectory() as folder:
        url = default_url(Path(folder))
        store = open_store(url)
        assert store.write(rows).refused == 0
        store.close()
        report = report_on(url, *by)
    everything = [group.measures for group in report.groups]
    totals = report.totals
    assert totals.calls == len(rows) == sum(one.calls for one in everything)
    assert len({group.keys for group in report.groups}) == len(report.groups)
    for name in ("hits", "collapsed", "misses", "bypass", "refused", "errors", "unpriced_calls", "estimated_calls"):
        assert getattr(totals, name) == sum(getattr(one, name) for one in everything)
    for name in ("cost", "saved", "potential"):
        whole = getattr(totals, name)
        assert whole.nanousd == sum(getattr(one, name).nanousd for one in everything)
        assert whole.unpriced_calls == sum(getattr(one, name).unpriced_calls for one in everything)
    assert totals.tokens.input == sum(row.input_tokens for row in rows)
    assert totals.cost.nanousd == sum(row.cost_nanousd or 0 for row in rows)
    assert sum(bucket.calls for bucket in report.series) == len(rows)
    assert totals.total == percentiles([row.total_ms for row in rows])


@pytest.mark.parametrize(
    ("url", "said"), [("mysql+nothere://me:secret@db/ledger", "URL"), ("mysql://me:secret@db/ledger", "driver")]
)
def test_a_ledger_without_a_driver_is_said_in_words_without_the_password(url: str, said: str) -> None:
    with pytest.raises(LedgerError, match=said) as caught:
        report_on(url)
    assert "secret" not in str(caught.value)
