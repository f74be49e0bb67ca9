"""Tables of the HTML report, and the money in them."""

from collections.abc import Iterable, Sequence

from proxy.ledger import wording
from proxy.ledger.figures import Money
from proxy.ledger.wording import markup


def table(caption: str, keys: Sequence[str], figures: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Cells are HTML; the captions are text."""
    head = "".join(f'<th scope="col">{markup(name)}</th>' for name in keys)
    head += "".join(f'<th scope="col" class="n">{markup(name)}</th>' for name in figures)
    body = []
    for row in rows:
        cells = "".join(f'<th scope="row">{cell}</th>' for cell in row[: len(keys)])
        cells += "".join(f'<td class="n">{cell}</td>' for cell in row[len(keys) :])
        body.append(f"<tr>{cells}</tr>")
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="{markup(caption)}"><table><thead><tr>{head}</tr>'
        f"</thead><tbody>{''.join(body)}</tbody></table></div>"
    )


def money_cell(amount: Money) -> str:
    """A sum; one that is unknown looks so."""
    text = markup(wording.money(amount))
    return f'<span class="unpriced">{text}</span>' if amount.is_unknown else text
