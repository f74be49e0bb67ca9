"""What providers' own prompt caches did, and could have done, as a section of the HTML report."""

from proxy.ledger import wording
from proxy.ledger.advice import advice, cause
from proxy.ledger.figures import Report
from proxy.ledger.html_table import money_cell, table
from proxy.ledger.wording import markup


def prompt_caching_section(report: Report) -> str:
    """Two tables: by model, and by what kept prompts out of the cache."""
    losses = f"<h3>What was lost, and why (estimated)</h3>{_losses(report)}" if report.prefix_losses else ""
    return (
        '<section class="card row"><div><h2>Provider prompt caching</h2>'
        '<p class="keys">Providers charge less for the beginning of a prompt that equals that of a recent one. '
        "Calls that went upstream; saved: less what writing to such a cache cost.</p>"
        f"{_models(report)}{losses}</div></section>"
    )


def _models(report: Report) -> str:
    rows = (
        [
            markup(line.provider),
            markup(line.model or wording.NOTHING),
            wording.count(line.calls),
            wording.brief(line.input),
            wording.brief(line.cache_read),
            markup(wording.share(line.read_share)),
            wording.brief(line.cache_write),
            money_cell(line.saved),
            money_cell(line.lost),
        ]
        for line in report.prompt_caching
    )
    figures = ["calls", "input tokens", "cached", "share", "written", "saved", "lost"]
    return table("Provider prompt caching", ["provider", "model"], figures, rows)


def _losses(report: Report) -> str:
    rows = (
        [
            markup(loss.provider),
            markup(loss.model or wording.NOTHING),
            markup(loss.app or wording.NOTHING),
            markup(cause(loss)),
            markup(advice(loss)),
            wording.count(loss.calls),
            wording.brief(loss.lost_tokens),
            money_cell(loss.lost),
        ]
        for loss in report.prefix_losses
    )
    return table("Lost discount", ["provider", "model", "app", "why", "what to do"], ["calls", "tokens", "lost"], rows)
