"""What the demo shows at its end: where the calls went, how long they took, over how many connections.

Rules: every figure was counted by somebody who saw it: calls by the applications, arrivals and connections by the
simulated providers, hits and money by the ledger. Times are medians of what the applications waited.
"""

from dataclasses import dataclass

from rich.console import Console
from rich.table import Table
from rich.text import Text

from proxy.demo.asks import as_json
from proxy.demo.scenario import Tally
from proxy.exchange.provider import Json
from proxy.ledger.figures import Report
from proxy.ledger.render_table import render_table


@dataclass(frozen=True, slots=True)
class Outcome:
    """Everything that was counted."""

    tally: Tally
    providers: Json  # the simulator's counters
    report: Report
    client_connections: int | None  # that the proxy accepted; None when it did not say


def show(outcome: Outcome, console: Console) -> None:
    """Print it."""
    console.print("\nWhat the applications did", style="bold")
    console.print(_phases(outcome.tally))
    console.print("\nWhat became of it", style="bold")
    console.print(_journey(outcome))
    console.print()
    render_table(outcome.report, console)
    console.print(
        Text.assemble(
            "\nNo line of those applications knows about Skinflint. Now yours: ",
            ("skinflint exec -- python your_app.py", "bold green"),
        )
    )


def _phases(tally: Tally) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0))
    table.add_column("")
    table.add_column("calls", justify="right")
    table.add_column("took", justify="right")
    for title, calls, seconds in tally.phases:
        table.add_row(title, f"{calls:,}", f"{seconds:.2f} s")
    return table


def _journey(outcome: Outcome) -> Table:
    tally, totals, providers = outcome.tally, outcome.report.totals, outcome.providers
    opened = sum(int(str(count)) for count in as_json(providers.get("connections_opened")).values())
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True)
    table.add_column(justify="right")
    table.add_column(style="dim")
    table.add_row("Calls made by the applications", f"{tally.calls:,}", "")
    reached = int(str(providers.get("calls", 0)))
    table.add_row("Calls that reached the providers", Text(f"{reached:,}", style="bold"), "as they counted them")
    table.add_row("Answered from the cache", f"{totals.hits:,}", "nothing paid")
    table.add_row("Joined the same call in flight", f"{totals.collapsed:,}", "streams included")
    together = tally.calls - reached - totals.hits - totals.collapsed
    table.add_row("Went along in the call of another", f"{max(0, together):,}", "embeddings only")
    if outcome.client_connections is not None:
        table.add_row("Connections from the applications", f"{outcome.client_connections:,}", "")
    table.add_row("Connections to the providers", f"{opened:,}", _protocols(providers))
    for kind, name in (("chat", "An answer"), ("stream", "A whole stream"), ("embedding", "An embedding")):
        first, again = tally.median_s(kind, "first"), tally.median_s(kind, "again")
        if first is not None and again is not None:
            table.add_row(
                f"{name}, asked for again", f"{again * 1000:,.0f} ms", f"the first time: {first * 1000:,.0f} ms"
            )
    return table


def _protocols(providers: Json) -> str:
    opened = as_json(providers.get("connections_opened"))
    return ", ".join(f"{count} over HTTP/{version}" for version, count in opened.items() if count)
