"""Which calls of the ledger are the same, and made most often. Read only; no index: it is asked for by hand."""

from datetime import datetime

from sqlalchemy import case, func, select
from sqlalchemy.exc import SQLAlchemyError

from proxy.exchange.record import NANO_PER_USD, Outcome
from proxy.ledger.engine import open_reader
from proxy.ledger.faults import LedgerError
from proxy.ledger.location import safe_name
from proxy.ledger.report import check_version
from proxy.ledger.schema import calls
from proxy.ledger.sql_faults import translate


def most_frequent(url: str, since: datetime, limit: int) -> list[dict[str, object]]:
    """The most frequent first. Raises LedgerError."""
    kinds = ("fingerprint", "provider", "operation", "model")
    fingerprint = calls.c.fingerprint
    hits = func.sum(case((calls.c.outcome.in_((Outcome.HIT.value, Outcome.COLLAPSED.value)), 1), else_=0))
    count = func.count()
    question = (
        select(
            fingerprint,
            *(func.max(calls.c[name]) for name in kinds[1:]),
            count,
            hits,
            func.coalesce(func.sum(calls.c.cost_nanousd), 0),
            func.coalesce(func.sum(calls.c.saved_nanousd), 0),
        )
        .where(calls.c.started_at >= since.timestamp(), fingerprint != "")
        .group_by(fingerprint)
        .order_by(count.desc(), fingerprint)
        .limit(limit)
    )
    engine = open_reader(url)
    try:
        with engine.connect() as connection:
            check_version(connection, url)
            rows = connection.execute(question).all()
    except SQLAlchemyError as error:
        raise LedgerError(f"cannot read the ledger at {safe_name(url)}: {translate(error).reason}") from error
    finally:
        engine.dispose()
    return [
        {
            **dict(zip(kinds, row[:4], strict=True)),
            "calls": int(row[4]),
            "hits": int(row[5]),
            "cost_usd": int(row[6]) / NANO_PER_USD,
            "saved_usd": int(row[7]) / NANO_PER_USD,
        }
        for row in rows
    ]
