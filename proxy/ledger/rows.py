"""How a call becomes a row of the ledger, whatever writes it.

Rules: the columns are the fields of `CallRecord`, and `minute`, which is kept so that days and hours can be grouped
with integers in every dialect. `HEAD` names the newest migration.
"""

from dataclasses import asdict, fields
from operator import attrgetter
from typing import Final

import orjson

from proxy.exchange.record import CallRecord

TABLE: Final = "calls"
HEAD: Final = "0003"
VERSION_TABLE: Final = "alembic_version"

# What needs a conversion stands at the end of a row; all else is taken as it is.
_CONVERTED: Final = ("outcome", "streamed", "estimated", "labels", "prompt_cache", "minute")
_PLAIN: Final = tuple(field.name for field in fields(CallRecord) if field.name not in _CONVERTED)
_plain_values = attrgetter(*_PLAIN)

ROW_COLUMNS: Final = (*_PLAIN, *_CONVERTED)

type RowValues = tuple[object, ...]


def dump_json(value: object) -> str:
    """The JSON text that the `labels` column holds."""
    return orjson.dumps(value).decode()


def row_values(row: CallRecord) -> RowValues:
    """The values of `ROW_COLUMNS`, as a driver takes them: JSON as text, flags as 0 and 1."""
    return (
        *_plain_values(row),
        row.outcome.value,
        int(row.streamed),
        int(row.estimated),
        dump_json(row.labels) if row.labels else "{}",
        dump_json(row.prompt_cache) if row.prompt_cache is not None else None,
        int(row.started_at // 60),
    )


def row_mapping(row: CallRecord) -> dict[str, object]:
    """The same row by column name, for SQLAlchemy to convert."""
    mapping = dict(zip(ROW_COLUMNS, row_values(row), strict=True))
    said = None if row.prompt_cache is None else asdict(row.prompt_cache)
    mapping.update(streamed=row.streamed, estimated=row.estimated, labels=row.labels, prompt_cache=said)
    return mapping
