"""The report's questions, in SQL that SQLite and PostgreSQL both understand.

Rules: the database adds up; of single calls only the times come back, to be ranked. Grouping expressions stand in an
inner query, since PostgreSQL does not see that two parameters are the same. Days and hours are UTC.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    FromClause,
    Select,
    String,
    Subquery,
    and_,
    case,
    cast,
    func,
    literal,
    or_,
    select,
)

from proxy.exchange.record import Outcome
from proxy.ledger.schema import calls

LABEL: Final = "label:"
GROUPINGS: Final = ("provider", "operation", "model", "outcome", "status", "client", "credential", "streamed")
PERIODS: Final = {"day": 1440, "hour": 60}  # minutes
NO_VALUE: Final = "(none)"
PAID: Final = (Outcome.MISS.value, Outcome.BYPASS.value, Outcome.REFRESH.value, Outcome.ERROR.value)
TIMES: Final = ("total_ms", "overhead_ms", "first_byte_ms")

_TOKENS: Final = ("input", "output", "cache_read", "cache_write", "reasoning", "audio")
_MONEY: Final = ("cost_nanousd", "saved_nanousd", "potential_nanousd")
_MEASURED: Final = (
    *("outcome", "estimated", "minute"),
    *(f"{kind}_tokens" for kind in _TOKENS),
    *_MONEY,
    *TIMES,
    "prompt_cache",
)
type Question = Select[*tuple[Any, ...]]  # how many columns there are depends on the grouping

# SQLAlchemy puts a label's name into a quoted JSON path: a quote or a backslash would end it.
_LABEL_NAME: Final = re.compile(r"[^\"\\\x00-\x1f]{1,128}")


@dataclass(frozen=True, slots=True)
class Scope:
    """Which calls a report is about."""

    since: datetime
    until: datetime
    where: tuple[tuple[str, str], ...] = ()


def check_names(by: Sequence[str], where: Mapping[str, str]) -> None:
    """Raise ValueError, naming what is allowed, unless all can be grouped and filtered by."""
    for name in by:
        if name not in PERIODS:
            _column(name)
    for name in where:
        _column(name)
    if len(set(by)) != len(by):
        raise ValueError("a grouping is named twice")


def base(scope: Scope, by: Sequence[str]) -> Subquery:
    """The calls in scope: group columns `g0`, `g1`, ... and what is measured."""
    groups = [_grouping(name).label(f"g{position}") for position, name in enumerate(by)]
    names = ("provider", "operation", "model", *_MEASURED)
    clauses = [_matches(name, pattern) for name, pattern in scope.where]
    inside = and_(calls.c.started_at >= scope.since.timestamp(), calls.c.started_at < scope.until.timestamp(), *clauses)
    return select(*groups, *(calls.c[name] for name in names)).where(inside).subquery("scope")


def sums(scope: Scope, by: Sequence[str]) -> Question:
    """One row a group: its keys, then counts and sums by the names that figures use."""
    inner = base(scope, by)
    keys = _keys(inner, by)
    return select(*keys, *_sum_columns(inner)).group_by(*keys) if keys else select(*_sum_columns(inner))


def times(scope: Scope, by: Sequence[str]) -> Question:
    """Each call's group keys and its `TIMES`. The database has no quick way to rank them: see report.py."""
    inner = base(scope, by)
    return select(*_keys(inner, by), *(inner.c[name] for name in TIMES))


def over_time(scope: Scope, bucket_minutes: int) -> Question:
    """One row a step of time: its number since the epoch, calls, calls answered here, cost and saved."""
    inner = base(scope, ())
    steps = select((inner.c.minute // bucket_minutes).label("step"), inner).subquery("steps")
    return (
        select(
            steps.c.step,
            func.count().label("calls"),
            _count(steps.c.outcome.in_((Outcome.HIT.value, Outcome.COLLAPSED.value))).label("answered_here"),
            *_money_columns(steps),
        )
        .group_by(steps.c.step)
        .order_by(steps.c.step)
    )


def repeats(scope: Scope, limit: int) -> Question:
    """Provider, operation, model, number and price of calls that were paid again; the dearest first."""
    inner = base(scope, ())
    keys = (inner.c.provider, inner.c.operation, inner.c.model)
    price = func.coalesce(func.sum(inner.c.potential_nanousd), 0)
    return (
        select(*keys, func.count().label("repeats"), *_money_columns(inner))
        .where(or_(inner.c.potential_nanousd.is_(None), inner.c.potential_nanousd > 0))
        .group_by(*keys)
        .order_by(price.desc(), func.count().desc(), *keys)
        .limit(limit)
    )


def first_call() -> Select[float | None]:
    """When the ledger's oldest call started."""
    return select(func.min(calls.c.started_at))


def key_text(name: str, value: object) -> str:
    """A group's key as reports show it."""
    if name in PERIODS and isinstance(value, int):
        start = datetime.fromtimestamp(value * PERIODS[name] * 60, UTC)
        return f"{start:%Y-%m-%d}" if name == "day" else f"{start:%Y-%m-%d %H}:00"
    if name == "streamed":
        return "yes" if value else "no"
    return str(value) if value not in (None, "") else NO_VALUE


def _column(name: str) -> ColumnElement[str]:
    if name in GROUPINGS:
        return calls.c[name]
    label = name.removeprefix(LABEL)
    if label != name and _LABEL_NAME.fullmatch(label):
        value: ColumnElement[str] = func.coalesce(calls.c.labels[label].as_string(), "")
        return value
    allowed = ", ".join((*GROUPINGS, *PERIODS, f"{LABEL}NAME"))
    raise ValueError(f"{name!r} is not a grouping; allowed: {allowed} (day and hour not as a filter)")


def _grouping(name: str) -> ColumnElement[str] | ColumnElement[int]:
    if name in PERIODS:
        return calls.c.minute // PERIODS[name]
    return _column(name)


def _matches(name: str, pattern: str) -> ColumnElement[bool]:
    column = _column(name)
    if name == "streamed":
        return column == literal(pattern.lower() in ("yes", "true", "1"))
    if pattern == NO_VALUE:
        return cast(column, String) == ""
    if "*" in pattern:
        for special in ("\\", "%", "_"):
            pattern = pattern.replace(special, "\\" + special)
        return cast(column, String).like(pattern.replace("*", "%"), escape="\\")
    return cast(column, String) == pattern


def _keys(inner: Subquery, by: Sequence[str]) -> list[ColumnElement[object]]:
    return [inner.c[f"g{position}"] for position in range(len(by))]


def _count(condition: ColumnElement[bool]) -> ColumnElement[int]:
    return func.count(case((condition, 1)))


def total(column: ColumnElement[int]) -> ColumnElement[int]:
    """Its sum; 0 without a value."""
    return func.coalesce(func.sum(column), 0)


def of_prompt_cache(inner: FromClause, name: str) -> ColumnElement[int]:
    """A number in `prompt_cache`; NULL where nothing is said. PostgreSQL's own integers would be too short."""
    return cast(inner.c.prompt_cache[name].as_string(), BigInteger)


def prompt_cache_money(inner: FromClause) -> list[ColumnElement[int]]:
    """What the provider's prompt cache saved and could have saved, of calls that were answered upstream: no others say
    anything of it."""
    used = or_(inner.c.cache_read_tokens > 0, inner.c.cache_write_tokens > 0)
    saved, lost = of_prompt_cache(inner, "saved_nanousd"), of_prompt_cache(inner, "lost_nanousd")
    return [
        total(saved).label("discount_nanousd"),
        _count(and_(used, inner.c.outcome.in_(PAID), saved.is_(None))).label("discount_nanousd_unpriced"),
        total(lost).label("lost_nanousd"),
        _count(and_(of_prompt_cache(inner, "lost_tokens") > 0, lost.is_(None))).label("lost_nanousd_unpriced"),
    ]


def _money_columns(inner: FromClause) -> list[ColumnElement[int]]:
    columns: list[ColumnElement[int]] = []
    for name in _MONEY:
        columns.append(func.coalesce(func.sum(inner.c[name]), 0).label(name))
        columns.append(_count(inner.c[name].is_(None)).label(f"{name}_unpriced"))
    return columns


def _sum_columns(inner: Subquery) -> list[ColumnElement[int]]:
    return [
        func.count().label("calls"),
        *(_count(inner.c.outcome == outcome.value).label(outcome.value) for outcome in Outcome),
        *(func.coalesce(func.sum(inner.c[f"{kind}_tokens"]), 0).label(kind) for kind in _TOKENS),
        *_money_columns(inner),
        *prompt_cache_money(inner),
        _count(or_(inner.c.cost_nanousd.is_(None), inner.c.saved_nanousd.is_(None))).label("unpriced_calls"),
        _count(inner.c.estimated.is_(True)).label("estimated_calls"),
    ]
