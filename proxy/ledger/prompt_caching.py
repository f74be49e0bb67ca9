"""What a report says of providers' own prompt caches: the questions in SQL, and their answers.

Rules: only calls that went upstream count, whatever their tokens cost when a stored answer was made. As in query.py.
"""

from typing import Final

from sqlalchemy import Connection, case, func, or_, select

from proxy.ledger.figures import Money, PrefixLoss, PromptCaching
from proxy.ledger.query import LABEL, PAID, Question, Scope, base, of_prompt_cache, prompt_cache_money, total

LINES: Final = 10
_APP: Final = f"{LABEL}app"
_NUMBERS: Final = ("broken_at", "broken_of", "lost_tokens", "lost_nanousd")


def prompt_caching(connection: Connection, scope: Scope) -> tuple[PromptCaching, ...]:
    """Of each provider's model whose cache was used, or could have been; the dearest first."""
    return tuple(
        PromptCaching(
            provider=row.provider,
            model=row.model,
            calls=int(row.calls),
            input=int(row.input),
            cache_read=int(row.cache_read),
            cache_write=int(row.cache_write),
            lost_tokens=int(row.lost_tokens),
            saved=Money(int(row.discount_nanousd), int(row.discount_nanousd_unpriced)),
            lost=Money(int(row.lost_nanousd), int(row.lost_nanousd_unpriced)),
        )
        for row in connection.execute(_by_model(scope))
    )


def prefix_losses(connection: Connection, scope: Scope) -> tuple[PrefixLoss, ...]:
    """Why tokens were not read from a provider's cache; the dearest causes."""
    return tuple(
        PrefixLoss(
            provider=row.provider,
            model=row.model,
            app=row.app,
            broken_by=row.broken_by,
            calls=int(row.calls),
            broken_at=int(row.broken_at),
            broken_of=int(row.broken_of),
            lost_tokens=int(row.lost_tokens),
            lost=Money(int(row.lost_nanousd), int(row.lost_nanousd_unpriced)),
        )
        for row in connection.execute(_by_cause(scope))
    )


def _by_model(scope: Scope) -> Question:
    inner = base(scope, ())
    keys = (inner.c.provider, inner.c.model)
    used = or_(inner.c.cache_read_tokens > 0, inner.c.cache_write_tokens > 0)
    lost_tokens = total(of_prompt_cache(inner, "lost_tokens"))
    return (
        select(
            *keys,
            func.count().label("calls"),
            *(total(inner.c[f"{kind}_tokens"]).label(kind) for kind in ("input", "cache_read", "cache_write")),
            lost_tokens.label("lost_tokens"),
            *prompt_cache_money(inner),
        )
        .where(inner.c.outcome.in_(PAID))
        .group_by(*keys)
        .having(or_(func.max(case((used, 1), else_=0)) > 0, lost_tokens > 0))
        .order_by(total(inner.c.cost_nanousd).desc(), *keys)
    )


def _by_cause(scope: Scope) -> Question:
    inner = base(scope, (_APP,))
    lost = (
        select(
            *(inner.c.provider, inner.c.model, inner.c.g0.label("app")),
            inner.c.prompt_cache["broken_by"].as_string().label("broken_by"),
            *(of_prompt_cache(inner, name).label(name) for name in _NUMBERS),
        )
        .where(of_prompt_cache(inner, "lost_tokens") > 0)
        .subquery("lost")
    )
    keys = (lost.c.provider, lost.c.model, lost.c.app, lost.c.broken_by)
    money, tokens = total(lost.c.lost_nanousd), total(lost.c.lost_tokens)
    return (
        select(
            *keys,
            func.count().label("calls"),
            func.min(lost.c.broken_at).label("broken_at"),
            func.max(lost.c.broken_of).label("broken_of"),
            tokens.label("lost_tokens"),
            money.label("lost_nanousd"),
            func.count(case((lost.c.lost_nanousd.is_(None), 1))).label("lost_nanousd_unpriced"),
        )
        .group_by(*keys)
        .order_by(money.desc(), tokens.desc(), *keys)
        .limit(LINES)
    )
