"""What people and programs are shown: exact, escaped, and whole in itself."""

import csv
import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from io import StringIO
from xml.etree import ElementTree

import orjson
import pytest
from rich.console import Console

from proxy.exchange.record import Outcome
from proxy.ledger import charts, wording
from proxy.ledger.figures import Group, Measures, Money, Projection, Report
from proxy.ledger.render_data import to_csv, to_json
from proxy.ledger.render_html import render_html
from proxy.ledger.render_table import render_table
from proxy.ledger.report import build_report
from tests.ledger.conftest import Fill
from tests.ledger.rows import NOON, call

EVIL = "<script>alert(1)</script>"
ROWS = (
    call(0, cost_nanousd=1_234_567_890),
    call(1, outcome=Outcome.HIT, cost_nanousd=0, saved_nanousd=123_000),
    call(2, cost_nanousd=None, model="local", labels={"app": "=1+1"}),
    call(3, model=EVIL, labels={"app": "[red]x\x1b[31m"}, potential_nanousd=27_000),
)


@pytest.fixture
def report(fill: Fill, url: str) -> Report:
    fill(ROWS)
    moment = datetime.fromtimestamp(NOON, UTC)
    return build_report(
        url, since=moment - timedelta(days=1), by=("model", "label:app"), now=moment + timedelta(hours=3)
    )


def in_terminal(report: Report, width: int) -> str:
    text = StringIO()
    render_table(report, Console(file=text, width=width))
    return text.getvalue()


class Page(HTMLParser):
    """Fails on unbalanced tags; collects addresses, scripts and the drawings."""

    VOID = frozenset({"meta", "br"})

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.loaded: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in {"script", "link", "img", "iframe", "object"}:
            self.loaded.append(tag)
        self.loaded += [
            name for name, value in attrs if name in {"src", "href", "onclick"} or (value or "")[:4] == "http"
        ]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        self.handle_endtag(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in self.VOID:
            assert self.open.pop() == tag


@pytest.mark.parametrize(
    ("nanousd", "text"),
    [
        (0, "$0.00"),
        (1, "$0.000000001"),
        (123_000, "$0.000123"),
        (27_000, "$0.000027"),
        (1_234_567, "$0.00123"),
        (9_999_999, "$0.01"),
        (500_000_000, "$0.50"),
        (999_999_999, "$1.00"),
        (1_005_000_000, "$1.01"),
        (1_234_567_891_234, "$1,234.57"),
    ],
)
def test_money_keeps_what_matters(nanousd: int, text: str) -> None:
    assert wording.usd(nanousd) == text


def test_an_unknown_price_is_never_zero() -> None:
    assert wording.money(Money(0, 1)) == "unpriced"
    assert wording.money(Money(5_000_000_000, 1)) == "≥ $5.00"
    assert wording.money(Money()) == "$0.00"


@pytest.mark.parametrize(
    ("ratio", "text"),
    [(None, "–"), (0, "0%"), (1, "100%"), (0.5, "50.0%"), (0.0004, "<0.1%"), (0.9996, ">99.9%")],
)
def test_shares_are_not_rounded_to_all_or_nothing(ratio: float | None, text: str) -> None:
    assert wording.share(ratio) == text


@pytest.mark.parametrize(("number", "text"), [(0, "0"), (999, "999"), (12_345, "12.3k"), (4_560_000, "4.56M")])
def test_tokens_are_brief(number: int, text: str) -> None:
    assert wording.brief(number) == text


@pytest.mark.parametrize(
    ("value", "text"), [(None, "–"), (0.1234, "0.123 ms"), (512.4, "512 ms"), (90_000.0, "90.0 s")]
)
def test_times_have_a_unit(value: float | None, text: str) -> None:
    assert wording.ms(value) == text


@pytest.mark.parametrize(
    ("seconds", "text"), [(59, "59 s"), (60, "1 minute"), (5400, "1.5 hours"), (86_400, "1 day"), (259_200, "3 days")]
)
def test_lengths_of_time_are_in_their_unit(seconds: float, text: str) -> None:
    assert wording.duration(seconds) == text


def test_a_projection_says_from_what() -> None:
    text = wording.projection(Projection(10_800, Money(1_000_000_000), Money(), Money()))
    assert "extrapolated from 3 hours, less than a day" in text
    assert "less than" not in wording.projection(Projection(86_400, Money(), Money(), Money()))


@pytest.mark.parametrize("width", [60, 80, 110, 160])
def test_the_table_shows_money_and_what_is_unpriced(report: Report, width: int) -> None:
    text = in_terminal(report, width)
    assert "≥ $1.23" in text
    assert "$0.000123" in text
    assert "unpriced" in text
    assert max(len(line) for line in text.splitlines()) <= width
    assert ("p95" in text.partition("By model")[2]) == (width >= 125)


def test_markup_and_control_characters_are_shown_as_text(report: Report) -> None:
    text = in_terminal(report, 200)
    assert "[red]x" in text
    assert "\x1b" not in text


def test_an_empty_time_is_said(fill: Fill, url: str) -> None:
    fill(ROWS)
    empty = build_report(url, since=datetime.fromtimestamp(NOON + 10, UTC), now=datetime.fromtimestamp(NOON + 20, UTC))
    assert "No calls in this time" in in_terminal(empty, 80)
    assert "No calls in this time" in render_html(empty)
    assert orjson.loads(to_json(empty))["totals"]["hit_ratio"] is None


def test_long_tables_are_cut_and_say_so(report: Report) -> None:
    many = replace(report, groups=tuple(Group((f"m{n}", "a"), Measures(calls=1)) for n in range(300)))
    assert "250 more groups" in in_terminal(many, 100)
    assert "100 more are in" in render_html(many)
    assert len(to_csv(many).splitlines()) == 301


def test_json_has_its_documented_keys(report: Report) -> None:
    document = orjson.loads(to_json(report))
    assert list(document) == [
        *("ledger", "since", "until", "by", "where", "totals", "groups"),
        *("bucket_s", "series", "waste", "prompt_caching", "prefix_losses", "projection_30d"),
    ]
    assert list(document["totals"]) == [
        *("calls", "hits", "collapsed", "misses", "bypass", "refused", "errors", "hit_ratio", "hit_share"),
        *("tokens", "cost", "saved", "potential", "unpriced_calls", "estimated_calls"),
        *("total_ms", "overhead_ms", "first_byte_ms", "discount", "lost_discount"),
    ]
    assert document["totals"]["cost"] == {"nanousd": 1_234_594_890, "usd": 1.23459489, "unpriced_calls": 1}
    assert document["since"] == "2025-12-31T12:00:00Z"
    local = next(group for group in document["groups"] if group["keys"]["model"] == "local")
    assert local["cost"] == {"nanousd": 0, "usd": None, "unpriced_calls": 1}


def test_csv_is_flat_and_harmless_in_a_spreadsheet(report: Report) -> None:
    lines = list(csv.DictReader(StringIO(to_csv(report))))
    assert {line["label:app"] for line in lines} == {"billing", "'=1+1", "[red]x\x1b[31m"}
    dear = next(line for line in lines if line["cost_nanousd"] == "1234567890")
    assert (dear["calls"], dear["cost_usd"], dear["hits"], dear["hit_ratio"]) == ("2", "1.23456789", "1", "0.5")
    assert next(line for line in lines if line["model"] == "local")["cost_usd"] == ""


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r"])
def test_no_cell_begins_as_a_formula(report: Report, start: str) -> None:
    evil = replace(report, by=("model",), groups=(Group((f"{start}cmd",), Measures()),))
    assert next(csv.reader(StringIO(to_csv(evil).split("\r\n", 1)[1])))[0] == f"'{start}cmd"


def test_csv_without_groups_is_one_line_of_totals(report: Report) -> None:
    lines = list(csv.DictReader(StringIO(to_csv(replace(report, by=(), groups=())))))
    assert [line["calls"] for line in lines] == ["4"]


def test_the_page_is_well_formed_and_needs_nothing_else(report: Report) -> None:
    html = render_html(report)
    page = Page()
    page.feed(html)
    page.close()
    assert page.open == []
    assert page.loaded == []
    assert "default-src 'none'" in html
    assert not re.search(r"url\(|@import|https?://|\$[a-z]+", html)


def test_the_page_escapes_what_it_is_told(report: Report) -> None:
    html = render_html(replace(report, where=(("model", EVIL),)))
    assert EVIL not in html
    assert html.count("&lt;script&gt;") >= 3


def test_the_drawings_are_valid_and_say_what_they_show(report: Report) -> None:
    drawings = re.findall(r'<svg class="chart.*?</svg>', render_html(report), re.DOTALL)
    assert len(drawings) == 3
    for drawing in drawings:
        root = ElementTree.fromstring(drawing)
        assert root.get("role") == "img"
        named = (root.get("aria-labelledby") or "").split()
        assert [child.get("id") for child in root[:2]] == named
        assert all(child.text for child in root[:2])


def test_a_report_without_prices_can_be_drawn(fill: Fill, url: str) -> None:
    fill([call(0, cost_nanousd=None, saved_nanousd=None)])
    moment = datetime.fromtimestamp(NOON, UTC)
    report = build_report(url, since=moment - timedelta(hours=1), by=(), now=moment + timedelta(hours=1))
    assert '<span class="unpriced">unpriced</span>' in render_html(report)


@pytest.mark.parametrize(
    ("largest", "expected"),
    [(0, [0, 1]), (10, [0, 2.5, 5, 7.5, 10]), (0.7, [0, 0.2, 0.4, 0.6, 0.8]), (33, [0, 10, 20, 30, 40])],
)
def test_ticks_are_round_and_reach_the_top(largest: float, expected: list[float]) -> None:
    assert charts.ticks(largest) == pytest.approx(expected)


def test_stacked_bars_have_the_height_of_their_amounts() -> None:
    mark = charts.Mark("a", (charts.Part("paid", 1.0), charts.Part("saved", 3.0)), "tip")
    root = ElementTree.fromstring(charts.over_time([mark], title="t", description="d", axis=[(0.0, "$0"), (4.0, "$4")]))
    heights = {rect.get("class"): float(rect.get("height") or 0) for rect in root.iter("rect")}
    assert heights["paid"] == 50
    assert heights["saved"] == 150
