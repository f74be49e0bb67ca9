"""skinflint report, and the summary that exec prints."""

import csv
import json
import time
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from config.schema import Ledger, Settings
from proxy.cli.failures import CommandFailed
from proxy.cli.summary import summarize
from proxy.exchange.record import CallRecord, Outcome
from proxy.ledger.location import default_url
from proxy.ledger.opening import open_store
from tests.cli.conftest import Run

USD = 1_000_000_000


def fill(data_dir: Path, calls: Iterable[tuple[str, Outcome, int | None, int | None]]) -> None:
    now = time.time()
    store = open_store(default_url(data_dir))
    store.write(
        [
            CallRecord(
                id=f"{number:026}",
                started_at=now - 1,
                client="127.0.0.1",
                provider="openai",
                operation="chat",
                model=model,
                status=200,
                outcome=outcome,
                streamed=False,
                cost_nanousd=cost,
                saved_nanousd=saved,
                labels={"app": "shop"},
            )
            for number, (model, outcome, cost, saved) in enumerate(calls)
        ]
    )
    store.close()


@pytest.fixture
def ledger(home: Path) -> Path:
    """A data directory whose ledger has three calls."""
    calls = [("a", Outcome.MISS, 2 * USD, 0), ("a", Outcome.HIT, 0, 2 * USD), ("b", Outcome.COLLAPSED, 0, USD)]
    fill(home / "data", calls)
    return home / "data"


def test_json_has_the_figures(skinflint: Run, ledger: Path) -> None:
    result = skinflint("report", "--data-dir", "data", "--by", "model,label:app", "--format", "json")
    assert result.exit_code == 0
    document = json.loads(result.stdout)
    assert document["by"] == ["model", "label:app"]
    assert document["totals"]["calls"] == 3
    assert document["totals"]["saved"]["usd"] == 3


def test_csv_has_a_line_for_each_group(skinflint: Run, ledger: Path) -> None:
    rows = list(csv.reader(skinflint("report", "--data-dir", "data", "--format", "csv").stdout.splitlines()))
    assert [row[:2] for row in rows] == [["model", "calls"], ["a", "2"], ["b", "1"]]


def test_the_table_is_for_people(skinflint: Run, ledger: Path) -> None:
    assert "$3.00" in skinflint("report", "--data-dir", "data").stdout


def test_html_goes_to_a_file(skinflint: Run, ledger: Path, home: Path) -> None:
    result = skinflint("report", "--ledger", default_url(ledger), "--format", "html", "--output", "r.html")
    assert (result.exit_code, result.stdout) == (0, "")
    assert "<html" in (home / "r.html").read_text("utf-8")


def test_where_narrows(skinflint: Run, ledger: Path) -> None:
    result = skinflint("report", "--data-dir", "data", "--where", "model=b", "--format", "json")
    assert json.loads(result.stdout)["totals"]["calls"] == 1


@pytest.mark.parametrize(
    "arguments", [("--since", "yesterday"), ("--until", "x"), ("--by", "colour"), ("--where", "model")]
)
def test_what_makes_no_sense_is_status_2(skinflint: Run, ledger: Path, arguments: tuple[str, ...]) -> None:
    result = skinflint("report", "--data-dir", "data", *arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith("error: ")


def test_without_a_ledger_it_fails_clearly(skinflint: Run) -> None:
    result = skinflint("report")
    assert (result.exit_code, "there is no ledger" in result.stderr) == (1, True)


class TestSummary:
    SINCE = datetime.fromtimestamp(0, UTC)

    def test_says_what_was_called_and_saved(self, ledger: Path) -> None:
        assert summarize(Settings(data_dir=ledger), self.SINCE) == (
            "3 calls (1 hit, 1 collapsed), cost $2.00, saved $3.00"
        )

    def test_only_what_came_since_counts(self, ledger: Path) -> None:
        since = datetime.fromtimestamp(time.time() - 0.5, UTC)
        assert summarize(Settings(data_dir=ledger), since) == "no calls to LLM providers"

    def test_unknown_prices_are_not_zero(self, home: Path) -> None:
        fill(home, [("a", Outcome.ERROR, None, 0)])
        text = summarize(Settings(data_dir=home), self.SINCE)
        assert text == "1 call (0 hits, 0 collapsed, 1 error), cost unpriced, saved $0.00"

    @pytest.mark.parametrize("is_enabled", [True, False])
    def test_without_a_ledger_there_is_none(self, home: Path, is_enabled: bool) -> None:
        with pytest.raises(CommandFailed):
            summarize(Settings(data_dir=home, ledger=Ledger(enabled=is_enabled)), self.SINCE)
