"""Providers' own prompt caches in the ledger and in every form of the report."""

import csv
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from io import StringIO

import orjson
from rich.console import Console

from proxy.exchange.record import Outcome, PromptCache
from proxy.ledger.figures import Money, PrefixLoss, PromptCaching, Report
from proxy.ledger.render_data import to_csv, to_json
from proxy.ledger.render_html import render_html
from proxy.ledger.render_table import render_table
from proxy.ledger.report import build_report
from tests.ledger.conftest import Fill
from tests.ledger.rows import NOON, call

LOST = PromptCache(0, 20, 1_920, 5_000_000_000, "system", 37, 5_210)
ROWS = (
    call(0, input_tokens=2_000, prompt_cache=LOST),
    call(1, input_tokens=2_000, prompt_cache=replace(LOST, broken_at=30, lost_nanousd=None)),
    call(2, input_tokens=1_000, cache_read_tokens=500, prompt_cache=PromptCache(-700)),
    call(3, outcome=Outcome.HIT, input_tokens=9_000, cache_read_tokens=9_000),
    call(4, model="other"),
)


def report_on(url: str) -> Report:
    moment = datetime.fromtimestamp(NOON, UTC)
    return build_report(url, since=moment - timedelta(days=1), now=moment + timedelta(hours=3))


def test_only_calls_that_went_upstream_count(fill: Fill, url: str) -> None:
    fill(ROWS)
    report = report_on(url)
    lost = Money(5_000_000_000, 1)
    assert report.prompt_caching == (
        PromptCaching("openai", "gpt-4o-mini", 3, 5_000, 500, 0, 3_840, Money(-700), lost),
    )
    assert report.prefix_losses == (
        PrefixLoss("openai", "gpt-4o-mini", "billing", "system", 2, 30, 5_210, 3_840, lost),
    )
    assert (report.totals.discount, report.totals.lost_discount) == (Money(-700), lost)


def test_every_form_says_so(fill: Fill, url: str) -> None:
    fill(ROWS)
    report = report_on(url)
    text = StringIO()
    render_table(report, Console(file=text, width=160))
    page = render_html(report)
    for shown in (text.getvalue(), page):
        assert "Provider prompt caching" in shown
        assert "the system prompt differs at about character 30 of 5,210" in shown
    document = orjson.loads(to_json(report))
    assert document["prefix_losses"][0]["broken_by"] == "system"
    assert document["prompt_caching"][0]["read_share"] == 0.1
    rows = list(csv.DictReader(StringIO(to_csv(report))))
    assert {row["lost_discount_nanousd"] for row in rows} == {"5000000000", "0"}


def test_no_section_when_there_is_nothing(fill: Fill, url: str) -> None:
    fill((call(0), call(1)))
    text = StringIO()
    render_table(report_on(url), Console(file=text, width=160))
    assert "prompt caching" not in text.getvalue()
    assert "prompt caching" not in render_html(report_on(url))
