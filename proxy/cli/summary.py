"""One line about what a program's calls cost and what was saved, from the ledger."""

from datetime import datetime

from config.schema import Settings
from proxy.cli.failures import CommandFailed
from proxy.ledger import wording
from proxy.ledger.faults import LedgerError
from proxy.ledger.figures import Measures
from proxy.ledger.location import url_of
from proxy.ledger.report import build_report


def summarize(settings: Settings, since: datetime) -> str:
    """The line. Other proxies that share the ledger are counted in. Raises CommandFailed when there is no ledger."""
    if not settings.ledger.enabled:
        raise CommandFailed("the ledger is switched off (ledger.enabled)")
    try:
        return in_words(build_report(url_of(settings), since=since, by=()).totals)
    except (LedgerError, ValueError) as exc:
        raise CommandFailed(str(exc)) from exc


def in_words(totals: Measures) -> str:
    """The figures as one line."""
    if not totals.calls:
        return "no calls to LLM providers"
    calls = f"{totals.calls:,} {'call' if totals.calls == 1 else 'calls'}"
    counts = [
        f"{count:,} {name}"
        for name, count in (
            ("hits" if totals.hits != 1 else "hit", totals.hits),
            ("collapsed", totals.collapsed),
            ("refused", totals.refused),
            ("errors" if totals.errors != 1 else "error", totals.errors),
        )
        if count or name in ("hit", "hits", "collapsed")
    ]
    return f"{calls} ({', '.join(counts)}), cost {wording.money(totals.cost)}, saved {wording.money(totals.saved)}"
