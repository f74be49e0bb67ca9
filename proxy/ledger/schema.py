"""The ledger's one table, for SQLite and PostgreSQL alike.

Rules: its columns are those of rows.py, in the order of `CallRecord`. A migration may only add columns that have a
default: an older Skinflint then goes on writing to a newer ledger. A test holds the migrations, this table and
sqlite_schema.sql together.
"""

from sqlalchemy import JSON, BigInteger, Boolean, Column, Double, Index, Integer, MetaData, String, Table, Text, text

from proxy.ledger.rows import TABLE

metadata = MetaData()


def _number(name: str) -> Column[int]:
    return Column(name, BigInteger, nullable=False, server_default=text("0"))


calls = Table(
    TABLE,
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
    Column("fingerprint", Text, nullable=False, server_default=text("''")),
    Column("labels", JSON, nullable=False),
    Column("prompt_cache", JSON(none_as_null=True)),
    Column("minute", BigInteger, nullable=False),
    Index("ix_calls_started_at", "started_at"),
    Index("ix_calls_model_started_at", "model", "started_at"),
    Index("ix_calls_credential_started_at", "credential", "started_at"),
    # Identifiers sort by time, so that a table ordered by them is appended to.
    sqlite_with_rowid=False,
)
