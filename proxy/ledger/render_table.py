"""A report in a terminal: the totals, the groups, and what was paid twice.

Rules: what a client or a model is called is shown as text, never as markup or as control characters; columns are
left out where the terminal is too narrow for them; colour never says what words do not.
"""

from typing import Final

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.console import Group as Stack
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from proxy.ledger import wording
from proxy.ledger.advice import advice, cause
from proxy.ledger.figures import Measures, Report

MOST_GROUPS: Final = 50
MIDDLING: Final = 100  # columns of a terminal from which more than money is shown
WIDE: Final = 125  # and from which times are


def render_table(report: Report, console: Console) -> None:
    """Print the report."""
    console.print(_totals(report))
    if report.groups:
        console.print(_groups(report, console.width))
        if len(report.groups) > MOST_GROUPS:
            console.print(
                f"{len(report.groups) - MOST_GROUPS} more groups are in the JSON and CSV reports", style="dim"
            )
    if report.waste:
        console.print(_waste(report))
    if report.prompt_caching:
        console.print(_prompt_caching(report))
    if report.prefix_losses:
        console.print(_prefix_losses(report))


def _totals(report: Report) -> Panel:
    totals = report.totals
    if not totals.calls:
        return Panel("No calls in this time.", title="Skinflint", subtitle=wording.window(report))
    lines = Table.grid(padding=(0, 2))
    lines.add_column(style="dim")
    lines.add_column()
    lines.add_row("Paid", Text(wording.money(totals.cost), style="bold yellow"))
    lines.add_row("Saved", _saved(totals))
    lines.add_row("Could also be saved", f"{wording.money(totals.potential)}, with cache.sampling: any")
    lines.add_row("Calls", _outcomes(totals))
    lines.add_row(
        "Hit ratio",
        f"{wording.share(totals.hit_ratio)} of what may be answered again, {wording.share(totals.hit_share)} of all",
    )
    lines.add_row("Tokens", _tokens(totals))
    lines.add_row(
        "Time",
        f"p50 {wording.ms(totals.total.p50_ms)}, p95 {wording.ms(totals.total.p95_ms)}; of which Skinflint "
        f"p50 {wording.ms(totals.overhead.p50_ms)}, p95 {wording.ms(totals.overhead.p95_ms)}",
    )
    notes = []
    if totals.unpriced_calls:
        notes.append(f"{wording.count(totals.unpriced_calls)} calls are unpriced and in no sum")
    if totals.estimated_calls:
        notes.append(f"{wording.count(totals.estimated_calls)} calls were cut off: their tokens are estimated")
    if report.projection is not None:
        notes.append(wording.projection(report.projection))
    body = Stack(lines, *(Text(note, style="dim") for note in notes))
    return Panel(body, title="Skinflint", subtitle=wording.window(report), padding=(1, 2))


def _saved(totals: Measures) -> Text:
    text = Text(wording.money(totals.saved), style="bold green")
    if totals.saved_share is not None:
        text.append(f"  {wording.share(totals.saved_share)} of what these calls would have cost", style="not bold")
    return text


def _outcomes(measures: Measures) -> str:
    parts = (
        ("hits", measures.hits),
        ("collapsed", measures.collapsed),
        ("misses", measures.misses),
        ("bypass", measures.bypass),
        ("refused", measures.refused),
        ("errors", measures.errors),
    )
    named = ", ".join(f"{wording.count(number)} {name}" for name, number in parts if number)
    return f"{wording.count(measures.calls)}: {named}"


def _tokens(measures: Measures) -> str:
    tokens = measures.tokens
    parts = [f"{wording.brief(tokens.input)} in", f"{wording.brief(tokens.output)} out"]
    for name, number in (
        ("read from the provider's cache", tokens.cache_read),
        ("written to it", tokens.cache_write),
        ("reasoning", tokens.reasoning),
        ("audio", tokens.audio),
    ):
        if number:
            parts.append(f"{wording.brief(number)} {name}")
    return ", ".join(parts)


def _groups(report: Report, width: int) -> Table:
    table = Table(title=f"By {', '.join(report.by)}", title_justify="left", header_style="bold", box=SIMPLE_HEAD)
    for name in report.by:
        table.add_column(_plain(name), overflow="fold", min_width=10)
    shown = report.groups[:MOST_GROUPS]
    columns = [_figures(group.measures, width) for group in shown]
    for name in columns[0]:
        table.add_column(name, justify="right", no_wrap=True)
    for group, figures in zip(shown, columns, strict=True):
        table.add_row(*(_plain(key) for key in group.keys), *figures.values())
    return table


def _figures(measures: Measures, width: int) -> dict[str, str]:
    figures = {
        "calls": wording.count(measures.calls),
        "hit ratio": wording.share(measures.hit_ratio),
        "cost": wording.money(measures.cost),
        "saved": wording.money(measures.saved),
    }
    if width >= MIDDLING:
        figures["could save"] = wording.money(measures.potential)
        figures["tokens"] = wording.brief(measures.tokens.total)
        figures["unpriced"] = wording.count(measures.unpriced_calls) if measures.unpriced_calls else ""
    if width >= WIDE:
        figures["p50"] = wording.ms(measures.total.p50_ms)
        figures["p95"] = wording.ms(measures.total.p95_ms)
        figures["overhead p50"] = wording.ms(measures.overhead.p50_ms)
    return figures


def _waste(report: Report) -> Table:
    table = Table(
        title="Paid although an identical call had been answered",
        title_justify="left",
        header_style="bold",
        box=SIMPLE_HEAD,
    )
    for name in ("provider", "operation", "model"):
        table.add_column(name, overflow="fold")
    for name in ("repeats", "would be saved"):
        table.add_column(name, justify="right", no_wrap=True)
    for line in report.waste:
        table.add_row(
            _plain(line.provider),
            _plain(line.operation),
            _plain(line.model or wording.NOTHING),
            wording.count(line.repeats),
            wording.money(line.potential),
        )
    return table


def _prompt_caching(report: Report) -> Table:
    table = Table(title="Provider prompt caching", title_justify="left", header_style="bold", box=SIMPLE_HEAD)
    for name in ("provider", "model"):
        table.add_column(name, overflow="fold")
    for name in ("input", "cached", "written", "saved", "lost"):
        table.add_column(name, justify="right", no_wrap=True)
    for line in report.prompt_caching:
        table.add_row(
            _plain(line.provider),
            _plain(line.model or wording.NOTHING),
            wording.brief(line.input),
            f"{wording.brief(line.cache_read)} ({wording.share(line.read_share)})",
            wording.brief(line.cache_write),
            wording.money(line.saved),
            wording.money(line.lost),
        )
    return table


def _prefix_losses(report: Report) -> Table:
    table = Table(
        title="Input that the provider could have served from its cache (estimated)",
        title_justify="left",
        header_style="bold",
        box=SIMPLE_HEAD,
    )
    for name in ("model", "app", "why, and what to do"):
        table.add_column(name, overflow="fold")
    for name in ("calls", "tokens", "lost"):
        table.add_column(name, justify="right", no_wrap=True)
    for loss in report.prefix_losses:
        table.add_row(
            _plain(loss.model or wording.NOTHING),
            _plain(loss.app or wording.NOTHING),
            _plain(f"{cause(loss)}: {advice(loss)}"),
            wording.count(loss.calls),
            wording.brief(loss.lost_tokens),
            wording.money(loss.lost),
        )
    return table


def _plain(text: str) -> Text:
    return Text(wording.printable(text))
