"""How figures are written for people: money, counts, shares, times.

Rules: small amounts keep three significant digits ($0.000123); an amount that is not known is `unpriced`, and a sum
that lacks some is `≥`; what does not exist is a dash. What comes from outside is shown as text, never acted upon.
"""

from datetime import datetime
from decimal import ROUND_HALF_UP, Decimal
from html import escape
from typing import Final

from proxy.exchange.record import NANO_PER_USD
from proxy.ledger.figures import Money, Projection, Report

NOTHING: Final = "–"
UNPRICED: Final = "unpriced"


def printable(text: str) -> str:
    """Text from the ledger without control characters: they would act on a terminal and are not allowed in XML."""
    return text if text.isprintable() else "".join(each if each.isprintable() else "�" for each in text)


def markup(text: str) -> str:
    """Text from the ledger as HTML or SVG shows it."""
    return escape(printable(text))


def usd(nanousd: int) -> str:
    """An amount in dollars."""
    amount = Decimal(nanousd) / NANO_PER_USD
    if nanousd == 0:
        return "$0.00"
    if abs(amount) >= 1:
        return f"${amount.quantize(Decimal('0.01'), ROUND_HALF_UP):,}"
    rounded = amount.quantize(Decimal(1).scaleb(amount.adjusted() - 2), ROUND_HALF_UP)
    whole, _, fraction = f"{rounded:f}".partition(".")
    return f"${whole}.{fraction.rstrip('0').ljust(2, '0')}"


def money(amount: Money) -> str:
    """A sum: `unpriced` when nothing in it has a price, `≥` when something has not."""
    if amount.is_unknown:
        return UNPRICED
    return f"≥ {usd(amount.nanousd)}" if amount.unpriced_calls else usd(amount.nanousd)


def count(number: int) -> str:
    """A number of calls, in full."""
    return f"{number:,}"


def brief(number: int) -> str:
    """A number of tokens: 999, 12.3k, 4.56M."""
    for limit, unit in ((1_000_000_000, "G"), (1_000_000, "M"), (1_000, "k")):
        if number >= limit:
            return f"{number / limit:.3g}{unit}" if number < 999.5 * limit else f"{number / limit:,.0f}{unit}"
    return str(number)


def share(ratio: float | None) -> str:
    """A ratio as a percentage; 100% and 0% are said only when they are exact."""
    if ratio is None:
        return NOTHING
    percent = ratio * 100
    if 0 < percent < 0.1:
        return "<0.1%"
    if 99.9 < percent < 100:
        return ">99.9%"
    return f"{percent:.0f}%" if percent in (0, 100) else f"{percent:.1f}%"


def ms(value: float | None) -> str:
    """A time in milliseconds or seconds."""
    if value is None:
        return NOTHING
    if value >= 10_000:
        return f"{value / 1000:,.1f} s"
    return f"{value:,.0f} ms" if value >= 100 else f"{value:.3g} ms"


def duration(seconds: float) -> str:
    """A length of time in its largest fitting unit."""
    for size, unit in ((86_400, "day"), (3600, "hour"), (60, "minute")):
        if seconds >= size:
            number = f"{seconds / size:.1f}".removesuffix(".0")
            return f"{number} {unit}" if number == "1" else f"{number} {unit}s"
    return f"{seconds:.0f} s"


def instant(moment: datetime) -> str:
    """A moment, UTC."""
    return f"{moment:%Y-%m-%d %H:%M}"


def window(report: Report) -> str:
    """The time that a report is about."""
    return f"{instant(report.since)} to {instant(report.until)} UTC"


def projection(found: Projection) -> str:
    """What 30 days would bring, and from how much that is said."""
    basis = f"extrapolated from {duration(found.observed_s)}"
    doubt = "" if found.is_sound else ", less than a day: a rough guess"
    return f"30 days at this rate: {money(found.cost)} paid, {money(found.saved)} saved ({basis}{doubt})"
