"""Builds a report from the ledger: what was called, what it cost, what was saved, what could be.

Rules: all figures come from one snapshot of the database, so that groups add up to the totals while the proxy writes;
the ledger is only read. Percentiles are exact (nearest rank). `until` and filters narrow everything but the question
how long the ledger has been kept, which a projection needs.
"""

import re
from array import array
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from sqlalchemy import Connection, Row
from sqlalchemy.exc import SQLAlchemyError

from proxy.exchange.record import Outcome
from proxy.ledger import query
from proxy.ledger.engine import open_reader
from proxy.ledger.faults import LedgerError
from proxy.ledger.figures import (
    MONTH_S,
    SHORTEST_PROJECTION_S,
    Bucket,
    Group,
    Measures,
    Money,
    Projection,
    Report,
    Times,
    Tokens,
    Waste,
)
from proxy.ledger.location import safe_name
from proxy.ledger.migrate import version_of
from proxy.ledger.prompt_caching import prefix_losses, prompt_caching
from proxy.ledger.rows import HEAD
from proxy.ledger.sql_faults import translate

WASTE_LINES: Final = 10
MOST_BUCKETS: Final = 48
FETCH_ROWS: Final = 5_000
BUCKET_MINUTES: Final = (1, 5, 15, 60, 180, 360, 720, 1440, 10_080)

_UNITS: Final = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_AGO: Final = re.compile(r"(\d{1,6})([mhdw])")

type Key = tuple[object, ...]
type TimesByKey = dict[Key, tuple[array[float], ...]]  # in the order of query.TIMES


def parse_since(text: str, *, now: datetime) -> datetime:
    """`90m`, `24h`, `7d`, `2w` before `now`, or an ISO date or time (UTC unless it says otherwise).

    Raises ValueError that names the forms.
    """
    cleaned = text.strip()
    try:
        if match := _AGO.fullmatch(cleaned.lower()):
            since = now - timedelta(**{_UNITS[match[2]]: int(match[1])})
        else:
            since = datetime.fromisoformat(cleaned)
            since = since if since.tzinfo is not None else since.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        raise ValueError(
            f"{text!r} is not a time; write 90m, 24h, 7d, 2w, or a date such as 2026-01-31 or 2026-01-31T08:00+01:00"
        ) from None
    if since >= now:
        raise ValueError(f"{text!r} is not in the past")
    return since.astimezone(UTC)


def build_report(
    url: str,
    *,
    since: datetime,
    until: datetime | None = None,
    by: Sequence[str] = ("model",),
    where: Mapping[str, str] | None = None,
    now: datetime | None = None,
) -> Report:
    """Report on the calls that started in [since, until), grouped `by` and narrowed to those that match `where`.

    `where` maps a grouping's name to a value, in which `*` stands for anything; `(none)` is an absent value. Times
    carry a time zone. Raises ValueError for a name or a time that makes no sense, LedgerError when it cannot be read.
    """
    now = now or datetime.now(UTC)
    end = min(until or now, now)
    if since >= end:
        raise ValueError("the report's time is empty: `since` must be before `until`, and in the past")
    query.check_names(by, where or {})
    scope = query.Scope(since.astimezone(UTC), end.astimezone(UTC), tuple((where or {}).items()))
    engine = open_reader(url)
    try:
        with engine.connect() as connection:
            if connection.dialect.name == "sqlite":
                connection.exec_driver_sql("BEGIN")  # one snapshot for all that follows
            check_version(connection, url)
            return _read(connection, scope, tuple(by), safe_name(url))
    except SQLAlchemyError as error:
        fault = translate(error)
        raise LedgerError(f"cannot read the ledger at {safe_name(url)}: {fault.reason}") from error
    finally:
        engine.dispose()


def check_version(connection: Connection, url: str) -> None:
    """Raises LedgerError for a ledger that this version cannot read."""
    version = version_of(connection)
    if version is None:
        raise LedgerError(f"there is no ledger in {safe_name(url)}: no call has been recorded there yet")
    if version < HEAD:
        raise LedgerError(f"the ledger at {safe_name(url)} is of an older version: start the proxy once to upgrade it")


def _read(connection: Connection, scope: query.Scope, by: tuple[str, ...], name: str) -> Report:
    times = _times(connection, scope, by)
    totals = _measures(connection, scope, (), _joined(times)).get((), Measures())
    groups = [
        Group(tuple(query.key_text(part, value) for part, value in zip(by, key, strict=True)), measures)
        for key, measures in (_measures(connection, scope, by, times) if by else {}).items()
    ]
    groups.sort(key=lambda group: (-group.measures.cost.nanousd, -group.measures.calls, group.keys))
    first = connection.execute(query.first_call()).scalar()
    bucket_minutes = _bucket_minutes(scope, first)
    return Report(
        ledger=name,
        since=scope.since,
        until=scope.until,
        by=by,
        where=scope.where,
        totals=totals,
        groups=tuple(groups),
        bucket_s=bucket_minutes * 60,
        series=_series(connection, scope, bucket_minutes),
        waste=_waste(connection, scope),
        projection=_projection(scope, first, totals),
        prompt_caching=prompt_caching(connection, scope),
        prefix_losses=prefix_losses(connection, scope),
    )


def _measures(connection: Connection, scope: query.Scope, by: Sequence[str], times: TimesByKey) -> dict[Key, Measures]:
    found: dict[Key, Measures] = {}
    for row in connection.execute(query.sums(scope, by)):
        key = tuple(row)[: len(by)]
        found[key] = _measures_of(row, *(percentiles(values) for values in times.get(key, _no_times())))
    return found


def _measures_of(row: Row[*tuple[Any, ...]], total: Times, overhead: Times, first_byte: Times) -> Measures:
    # PostgreSQL returns sums of 64-bit integers as decimals.
    number = {name: int(value) for name, value in row._mapping.items() if not _is_key(name)}
    return Measures(
        calls=number["calls"],
        hits=number[Outcome.HIT],
        collapsed=number[Outcome.COLLAPSED],
        misses=number[Outcome.MISS],
        bypass=number[Outcome.BYPASS],
        refused=number[Outcome.REFUSED],
        errors=number[Outcome.ERROR],
        tokens=Tokens(
            input=number["input"],
            output=number["output"],
            cache_read=number["cache_read"],
            cache_write=number["cache_write"],
            reasoning=number["reasoning"],
            audio=number["audio"],
        ),
        cost=Money(number["cost_nanousd"], number["cost_nanousd_unpriced"]),
        saved=Money(number["saved_nanousd"], number["saved_nanousd_unpriced"]),
        potential=Money(number["potential_nanousd"], number["potential_nanousd_unpriced"]),
        discount=Money(number["discount_nanousd"], number["discount_nanousd_unpriced"]),
        lost_discount=Money(number["lost_nanousd"], number["lost_nanousd_unpriced"]),
        unpriced_calls=number["unpriced_calls"],
        estimated_calls=number["estimated_calls"],
        total=total,
        overhead=overhead,
        first_byte=first_byte,
    )


def _is_key(name: str) -> bool:
    return name[0] == "g" and name[1:].isdigit()


def percentiles(values: Sequence[float]) -> Times:
    """The median and the 95th percentile by nearest rank: each is one of the values."""
    if not values:
        return Times()
    ordered, size = sorted(values), len(values)
    return Times(ordered[-(-size * 50 // 100) - 1], ordered[-(-size * 95 // 100) - 1])


def _no_times() -> tuple[array[float], ...]:
    return tuple(array("d") for _ in query.TIMES)


def _times(connection: Connection, scope: query.Scope, by: Sequence[str]) -> TimesByKey:
    # Three numbers of eight bytes a call: ranking in SQL took four times as long, since each of the three is a sort.
    found: TimesByKey = {}
    width = len(by)
    for row in connection.execution_options(yield_per=FETCH_ROWS).execute(query.times(scope, by)):
        key = tuple(row[:width])
        lists = found.get(key)
        if lists is None:
            lists = found[key] = _no_times()
        for values, value in zip(lists, row[width:], strict=True):
            if value is not None:
                values.append(value)
    return found


def _joined(times: TimesByKey) -> TimesByKey:
    whole = _no_times()
    for lists in times.values():
        for values, more in zip(whole, lists, strict=True):
            values.extend(more)
    return {(): whole}


def _series(connection: Connection, scope: query.Scope, bucket_minutes: int) -> tuple[Bucket, ...]:
    found = {
        int(row.step): Bucket(
            start=_instant(int(row.step) * bucket_minutes),
            calls=int(row.calls),
            answered_here=int(row.answered_here),
            cost=Money(int(row.cost_nanousd), int(row.cost_nanousd_unpriced)),
            saved=Money(int(row.saved_nanousd), int(row.saved_nanousd_unpriced)),
        )
        for row in connection.execute(query.over_time(scope, bucket_minutes))
    }
    if not found:
        return ()
    last = int((scope.until.timestamp() - 1e-6) // 60) // bucket_minutes
    return tuple(
        found.get(step) or Bucket(_instant(step * bucket_minutes), 0, 0, Money(), Money())
        for step in range(min(found), max(last, *found) + 1)
    )


def _instant(minute: int) -> datetime:
    return datetime.fromtimestamp(minute * 60, UTC)


def _bucket_minutes(scope: query.Scope, first: float | None) -> int:
    start = max(scope.since.timestamp(), first if first is not None else 0.0)
    minutes = max(scope.until.timestamp() - start, 0.0) / 60
    for size in BUCKET_MINUTES:
        if minutes / size <= MOST_BUCKETS - 1:  # the first and the last may be begun
            return size
    return 1440 * 30 * (1 + int(minutes / (1440 * 30) / MOST_BUCKETS))


def _waste(connection: Connection, scope: query.Scope) -> tuple[Waste, ...]:
    return tuple(
        Waste(
            provider=row.provider,
            operation=row.operation,
            model=row.model,
            repeats=int(row.repeats),
            potential=Money(int(row.potential_nanousd), int(row.potential_nanousd_unpriced)),
        )
        for row in connection.execute(query.repeats(scope, WASTE_LINES))
    )


def _projection(scope: query.Scope, first: float | None, totals: Measures) -> Projection | None:
    if first is None or not totals.calls:
        return None
    observed_s = scope.until.timestamp() - max(scope.since.timestamp(), first)
    if observed_s < SHORTEST_PROJECTION_S:
        return None
    factor = MONTH_S / observed_s

    def month(money: Money) -> Money:
        return Money(round(money.nanousd * factor), round(money.unpriced_calls * factor))

    return Projection(observed_s, month(totals.cost), month(totals.saved), month(totals.potential))
