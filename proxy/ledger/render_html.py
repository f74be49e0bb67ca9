"""A report as one HTML page that needs nothing else: no script, no font, no address; light and dark.

Rules: every text from the ledger is escaped; the page's policy forbids it to load or to run anything; what a chart
shows also stands in a table or a list. The layout is in report.html, the charts are drawn by charts.py.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path
from string import Template
from typing import Final

from proxy.exchange.record import NANO_PER_USD
from proxy.ledger import charts, wording
from proxy.ledger.charts import Mark, Part
from proxy.ledger.figures import Bucket, Group, Measures, Money, Report
from proxy.ledger.html_prompts import prompt_caching_section
from proxy.ledger.html_table import money_cell, table
from proxy.ledger.wording import markup

MOST_BARS: Final = 7
MOST_GROUPS: Final = 200

_PAGE: Final = Path(__file__).with_name("report.html")
_KEYS: Final = '<p class="keys"><span><i class="paid"></i>paid</span><span><i class="saved"></i>saved</span></p>'


def render_html(report: Report) -> str:
    """The page."""
    page = Template(_PAGE.read_text(encoding="utf-8"))
    sections = (
        _sections(report) if report.totals.calls else ['<section class="card"><h2>No calls in this time</h2></section>']
    )
    filters = "".join(f"<br>only {markup(name)} {markup(value)}" for name, value in report.where)
    return page.substitute(
        window=markup(wording.window(report)),
        filters=filters,
        content="\n".join(sections),
        notes="\n".join(f"<p>{note}</p>" for note in _notes(report)),
    )


def _sections(report: Report) -> list[str]:
    right = _ranked(report) if report.groups else ""
    sections = [_figures(report), _over_time(report)]
    sections.append(f'<div class="row {"halves" if right else ""}">{_outcomes(report.totals)}{right}</div>')
    if report.groups:
        sections.append(_group_table(report))
    if report.waste:
        sections.append(_waste_table(report))
    if report.prompt_caching:
        sections.append(prompt_caching_section(report))
    return sections


def _figures(report: Report) -> str:
    totals = report.totals
    of_all = f"{wording.share(totals.saved_share)} of what these calls would have cost" if totals.saved_share else ""
    paid = f"{wording.count(totals.calls)} calls, {wording.brief(totals.tokens.total)} tokens"
    ratio = f"of what may be answered again; {wording.share(totals.hit_share)} of all calls"
    time = f"median added, 95% below {wording.ms(totals.overhead.p95_ms)}"
    return (
        '<section class="row figures" aria-label="Totals">'
        + _figure("Saved", money_cell(totals.saved), of_all, "first")
        + _figure("Paid", money_cell(totals.cost), paid)
        + _figure("Hit ratio", wording.share(totals.hit_ratio), ratio)
        + _figure("Skinflint's own time", wording.ms(totals.overhead.p50_ms), time)
        + "</section>"
    )


def _figure(what: str, amount: str, more: str, style: str = "") -> str:
    return (
        f'<div class="card figure {style}"><div class="what">{markup(what)}</div><div class="amount">{amount}</div>'
        f'<div class="more">{markup(more)}</div></div>'
    )


def _over_time(report: Report) -> str:
    is_long = len(report.series) * report.bucket_s > 86_400
    label = "%d %b" if report.bucket_s >= 86_400 else "%d %b %H:%M" if is_long else "%H:%M"
    marks = [
        Mark(bucket.start.strftime(label), _parts(bucket.cost, bucket.saved), _tooltip(bucket))
        for bucket in report.series
    ]
    axis = [
        (amount, wording.usd(round(amount * NANO_PER_USD))) for amount in charts.ticks(max(m.amount for m in marks))
    ]
    step = wording.duration(report.bucket_s)
    totals = report.totals
    chart = charts.over_time(
        marks,
        title="Paid and saved over time",
        description=f"{len(marks)} bars of {step}; {wording.money(totals.cost)} paid and "
        f"{wording.money(totals.saved)} saved in all.",
        axis=axis,
    )
    rows = (
        (
            f"{bucket.start:%Y-%m-%d %H:%M}",
            wording.count(bucket.calls),
            wording.count(bucket.answered_here),
            money_cell(bucket.cost),
            money_cell(bucket.saved),
        )
        for bucket in report.series
    )
    cells = table("Paid and saved over time", ["from (UTC)"], ["calls", "answered here", "paid", "saved"], rows)
    return (
        f'<section class="card row"><div><h2>Paid and saved over time</h2>{_KEYS}<div class="scroll">{chart}</div>'
        f"<details><summary>The same as a table, in steps of {step}</summary>{cells}</details></div></section>"
    )


def _tooltip(bucket: Bucket) -> str:
    return (
        f"{wording.instant(bucket.start)} UTC: {wording.money(bucket.cost)} paid, {wording.money(bucket.saved)} saved, "
        f"{wording.count(bucket.calls)} calls, {wording.count(bucket.answered_here)} answered here"
    )


def _outcomes(totals: Measures) -> str:
    outcomes = (
        ("hit", "from the cache", totals.hits),
        ("collapsed", "joined a call in flight", totals.collapsed),
        ("miss", "paid, may be answered again", totals.misses),
        ("bypass", "paid, not eligible", totals.bypass),
        ("refused", "by policy", totals.refused),
        ("error", "no complete answer", totals.errors),
    )
    shown = [outcome for outcome in outcomes if outcome[2]]
    texts = {name: f"{name}: {wording.count(number)}" for name, _, number in shown}
    chart = charts.ring(
        [Mark(name, (Part(name, number),), texts[name]) for name, _, number in shown],
        title="How calls were answered",
        description=", ".join(texts.values()),
        middle=wording.share(totals.hit_share),
        under="answered here",
    )
    legend = "".join(
        f'<li><i class="{name}"></i><span>{name} <small>{meaning}</small></span><span>{wording.count(number)}</span>'
        f"<span>{wording.share(number / totals.calls)}</span></li>"
        for name, meaning, number in shown
    )
    return (
        '<section class="card"><h2>How calls were answered</h2><p>By their number.</p>'
        f'<div class="outcomes">{chart}<ul class="legend">{legend}</ul></div></section>'
    )


def _ranked(report: Report) -> str:
    most = sorted(report.groups, key=lambda group: -(group.measures.cost.nanousd + group.measures.saved.nanousd))
    marks = [_bar(group) for group in most[:MOST_BARS]]
    rest = most[MOST_BARS:]
    if rest:
        cost, saved = _sum([g.measures.cost for g in rest]), _sum([g.measures.saved for g in rest])
        marks.append(_mark(f"{len(rest)} others", cost, saved))
    name = markup(", ".join(report.by))
    chart = charts.ranked(marks, title=f"Paid and saved by {', '.join(report.by)}", description=_described(marks))
    return f'<section class="card"><h2>Paid and saved by {name}</h2>{_KEYS}{chart}</section>'


def _bar(group: Group) -> Mark:
    return _mark(" · ".join(group.keys), group.measures.cost, group.measures.saved)


def _mark(label: str, cost: Money, saved: Money) -> Mark:
    value = f"{wording.money(cost)} + {wording.money(saved)}"
    if cost.is_unknown and saved.nanousd == 0:
        value = wording.UNPRICED
    tooltip = f"{label}: {wording.money(cost)} paid, {wording.money(saved)} saved"
    return Mark(label, _parts(cost, saved), tooltip, value)


def _described(marks: Sequence[Mark]) -> str:
    return "; ".join(mark.tooltip for mark in marks)


def _parts(cost: Money, saved: Money) -> tuple[Part, ...]:
    return Part("paid", cost.nanousd / NANO_PER_USD), Part("saved", saved.nanousd / NANO_PER_USD)


def _sum(amounts: Sequence[Money]) -> Money:
    return Money(sum(one.nanousd for one in amounts), sum(one.unpriced_calls for one in amounts))


def _group_table(report: Report) -> str:
    shown = report.groups[:MOST_GROUPS]
    figures = [
        "calls",
        "hit ratio",
        "tokens",
        "paid",
        "saved",
        "could save",
        "refused",
        "errors",
        "p50",
        "p95",
        "own p50",
    ]
    rows = ([*(markup(key) for key in group.keys), *_group_cells(group.measures)] for group in shown)
    rest = len(report.groups) - len(shown)
    more = f"<p>{wording.count(rest)} more are in the JSON and CSV reports.</p>" if rest else ""
    cells = table("Groups", list(report.by), figures, rows)
    return f'<section class="card row"><div><h2>By {markup(", ".join(report.by))}</h2>{cells}{more}</div></section>'


def _group_cells(measures: Measures) -> list[str]:
    return [
        wording.count(measures.calls),
        wording.share(measures.hit_ratio),
        wording.brief(measures.tokens.total),
        money_cell(measures.cost),
        money_cell(measures.saved),
        money_cell(measures.potential),
        wording.count(measures.refused),
        wording.count(measures.errors),
        wording.ms(measures.total.p50_ms),
        wording.ms(measures.total.p95_ms),
        markup(wording.ms(measures.overhead.p50_ms)),
    ]


def _waste_table(report: Report) -> str:
    rows = (
        [
            markup(line.provider),
            markup(line.operation),
            markup(line.model or wording.NOTHING),
            wording.count(line.repeats),
            money_cell(line.potential),
        ]
        for line in report.waste
    )
    cells = table("Repeated waste", ["provider", "operation", "model"], ["repeats", "would be saved"], rows)
    return (
        '<section class="card row"><div><h2>Paid although an identical call had been answered</h2>'
        '<p class="keys">Their sampling may vary the answer, so the default leaves them alone; '
        f"cache.sampling: any would answer them again.</p>{cells}</div></section>"
    )


def _notes(report: Report) -> Iterable[str]:
    totals = report.totals
    if report.projection is not None:
        yield f"<b>{markup(wording.projection(report.projection))}.</b>"
    if totals.potential.nanousd:
        yield f"<b>{markup(wording.money(totals.potential))}</b> more would have been saved with cache.sampling: any."
    if totals.unpriced_calls:
        yield (
            f"{wording.count(totals.unpriced_calls)} calls are unpriced: their price is not known, and they are in no "
            "sum; ≥ marks sums that lack some."
        )
    if totals.estimated_calls:
        yield f"{wording.count(totals.estimated_calls)} calls were cut off: their tokens are estimated."
    yield (
        "Hit ratio: hits and collapsed calls, of these and the misses. p50, p95: of the whole call. Own: the part of a "
        "call's time that was spent in Skinflint. Prices are list prices: the provider's bill decides."
    )
    yield f"Ledger: {markup(report.ledger)}"
