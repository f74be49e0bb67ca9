"""The ledger's one table, for SQLite and PostgreSQL alike, and how a call becomes a row of it.

Rules: the columns are the fields of `CallRecord`, in its order, and `minute`, which is kept so that days and hours can
be grouped with integers in every dialect. A migration may only add columns that have a default: an older Skinflint then
goes on writing to a newer ledger. `HEAD` names the newest migration; a test holds it, the migrations and this table
together.
"""

from operator import attrgetter
from typing import Final

import orjson
from sqlalchemy import JSON, BigInteger, Boolean, Column, Double, Index, Integer, MetaData, String, Table, Text, text

from proxy.exchange.record import CallRecord

HEAD: Final = "0001"
VERSION_TABLE: Final = "alembic_version"

metadata = MetaData()


def _number(name: str) -> Column[int]:
    return Column(name, BigInteger, nullable=False, server_default=text("0"))


calls = Table(
    "calls",
    metadata,
    Column("id", String(40), primary_key=True),
    Column("started_at", Double, nullable=False),
    Column("client", Text, nullable=False),
    Column("provider", Text, nullable=False),
    Column("operation", Text, nullable=False),
    Column("model", Text, nullable=False),
    Column("status", Integer, nullable=False),
    Column("outcome", String(16), nullable=False),
    Column("streamed", Boolean, nullable=False),
    _number("input_tokens"),
    _number("output_tokens"),
    _number("cache_read_tokens"),
    _number("cache_write_tokens"),
    _number("reasoning_tokens"),
    _number("audio_tokens"),
    Column("estimated", Boolean, nullable=False),
    Column("cost_nanousd", BigInteger),
    Column("saved_nanousd", BigInteger),
    Column("potential_nanousd", BigInteger),
    Column("first_byte_ms", Double),
    Column("total_ms", Double, nullable=False),
    Column("overhead_ms", Double, nullable=False),
    _number("request_bytes"),
    _number("response_bytes"),
    Column("service_tier", Text, nullable=False),
    Column("price_version", Text, nullable=False),
    Column("error", Text, nullable=False),
    Column("credential", Text, nullable=False),
    Column("labels", JSON, nullable=False),
    Column("minute", BigInteger, nullable=False),
    Index("ix_calls_started_at", "started_at"),
    Index("ix_calls_model_started_at", "model", "started_at"),
    Index("ix_calls_credential_started_at", "credential", "started_at"),
    # Identifiers sort by time, so that a table ordered by them is appended to.
    sqlite_with_rowid=False,
)

# What needs a conversion stands at the end of a row; all else is taken as it is.
_CONVERTED: Final = ("outcome", "streamed", "estimated", "labels", "minute")
_PLAIN: Final = tuple(column.name for column in calls.columns if column.name not in _CONVERTED)
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
        int(row.started_at // 60),
    )


def row_mapping(row: CallRecord) -> dict[str, object]:
    """The same row by column name, for SQLAlchemy to convert."""
    mapping = dict(zip(ROW_COLUMNS, row_values(row), strict=True))
    mapping.update(streamed=row.streamed, estimated=row.estimated, labels=row.labels)
    return mapping
