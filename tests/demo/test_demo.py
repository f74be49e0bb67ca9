"""The demo: what its applications report, what is shown, and how it fails."""

import io
import re
import subprocess
import sys
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from rich.console import Console

from proxy.cli.failures import CommandFailed
from proxy.demo import run_demo
from proxy.demo.outcome import Outcome, show
from proxy.demo.scenario import CLIENTS, ApplicationsFailed, SdkMissing, Tally, run_applications
from proxy.exchange.provider import Json
from proxy.ledger.figures import Measures, Report
from tests.support.processes import clients_python

needs_sdks = pytest.mark.skipif(clients_python() is None, reason="needs the SDKs: make clients")


def script(directory: Path, text: str) -> Path:
    """An executable that stands in for an interpreter and prints what it is told."""
    file = directory / "python"
    file.write_text(f"#!/bin/sh\n{text}\n")
    file.chmod(0o755)
    return file


def reports(tally: Tally, *lines: Json) -> Tally:
    for line in lines:
        tally.note(line)
    return tally


def played() -> Tally:
    return reports(
        Tally(),
        {"event": "plan", "calls": 5},
        {"event": "phase", "title": "One", "calls": 3, "role": "first"},
        *({"event": "call", "sdk": "openai", "kind": "chat", "seconds": seconds} for seconds in (0.5, 0.1, 0.3)),
        {"event": "phase_end", "title": "One", "seconds": 0.9},
        {"event": "phase", "title": "Two", "calls": 2, "role": "again"},
        *({"event": "call", "sdk": "openai", "kind": "chat", "seconds": seconds} for seconds in (0.002, 0.004)),
        {"event": "phase_end", "title": "Two", "seconds": 0.1},
        {"event": "end"},
    )


def test_tally_keeps_times_by_kind_and_role() -> None:
    tally = played()
    assert (tally.planned, tally.calls, tally.ended) == (5, 5, True)
    assert tally.median_s("chat", "first") == 0.3
    assert tally.median_s("chat", "again") == pytest.approx(0.003)
    assert tally.median_s("stream", "first") is None
    assert tally.phases == [("One", 3, 0.9), ("Two", 2, 0.1)]


def test_the_outcome_shows_what_was_counted() -> None:
    now = datetime.now(UTC)
    report = Report(
        ledger="x",
        since=now - timedelta(minutes=1),
        until=now,
        by=(),
        where=(),
        totals=Measures(calls=5, hits=1, collapsed=1, misses=3),
        groups=(),
        bucket_s=60,
        series=(),
        waste=(),
        projection=None,
    )
    console = Console(file=io.StringIO(), width=100)
    show(Outcome(played(), {"calls": 3, "connections_opened": {"2": 1, "1.1": 0}}, report, 4), console)
    assert isinstance(console.file, io.StringIO)
    shown = console.file.getvalue()
    assert re.search(r"Calls that reached the providers +3 ", shown)
    assert "1 over HTTP/2" in shown
    assert "HTTP/1.1" not in shown
    assert "the first time: 300 ms" in shown
    assert "skinflint exec" in shown


def test_an_interpreter_without_the_sdks_is_named_with_the_remedy(tmp_path: Path) -> None:
    python = script(tmp_path, """echo '{"event": "missing", "module": "openai"}'; exit 3""")
    with pytest.raises(SdkMissing, match="openai"):
        run_applications(python, {}, lambda _tally, _report: None)


def test_applications_that_fail_show_their_last_words(tmp_path: Path) -> None:
    python = script(tmp_path, """echo '{"event": "plan", "calls": 1}'; echo 'chatter'; echo 'no route' >&2; exit 1""")
    seen: list[Json] = []
    with pytest.raises(ApplicationsFailed, match="no route"):
        run_applications(python, {}, lambda _tally, report: seen.append(report))
    assert seen == [{"event": "plan", "calls": 1}]


def test_applications_that_stop_halfway_have_failed(tmp_path: Path) -> None:
    python = script(tmp_path, """echo '{"event": "plan", "calls": 1}'""")
    with pytest.raises(ApplicationsFailed, match="status 0"):
        run_applications(python, {}, lambda _tally, _report: None)


def test_an_interpreter_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CommandFailed, match="no interpreter"):
        run_demo(python=tmp_path / "none", keep=False, console=Console(file=io.StringIO()))


def test_the_applications_report_a_missing_sdk_themselves() -> None:
    done = subprocess.run(
        [sys.executable, "-S", "-I", str(CLIENTS)], check=False, env={}, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 3
    assert '"event": "missing"' in done.stdout


@needs_sdks
def test_the_whole_demo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:1")  # the user's own: must not lead anything astray
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:1/v1")
    console = Console(file=io.StringIO(), width=120)

    assert run_demo(python=clients_python(), keep=False, console=console) == 0

    assert isinstance(console.file, io.StringIO)
    shown = console.file.getvalue()
    figures = {
        found[1]: found[2].replace(",", "") for found in re.finditer(r"^((?:\w+ )+) *([\d,]+) ", shown, re.MULTILINE)
    }
    calls, reached = int(figures["Calls made by the applications "]), int(figures["Calls that reached the providers "])
    assert calls == 365
    together = int(figures["Went along in the call of another "])
    assert reached + together == 55
    assert together < 16  # of the embeddings, it depends on which are under way at the same time
    answered = int(figures["Answered from the cache "]) + int(figures["Joined the same call in flight "])
    assert reached + together + answered == calls
    assert list(tmp_path.iterdir()) == []
