"""The table of calls."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def _number(name: str) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger, nullable=False, server_default=sa.text("0"))


def upgrade() -> None:
    op.create_table(
        "calls",
        sa.Column("id", sa.String(40), primary_key=True),
        sa.Column("started_at", sa.Double, nullable=False),
        sa.Column("client", sa.Text, nullable=False),
        sa.Column("provider", sa.Text, nullable=False),
        sa.Column("operation", sa.Text, nullable=False),
        sa.Column("model", sa.Text, nullable=False),
        sa.Column("status", sa.Integer, nullable=False),
        sa.Column("outcome", sa.String(16), nullable=False),
        sa.Column("streamed", sa.Boolean, nullable=False),
        _number("input_tokens"),
        _number("output_tokens"),
        _number("cache_read_tokens"),
        _number("cache_write_tokens"),
        _number("reasoning_tokens"),
        _number("audio_tokens"),
        sa.Column("estimated", sa.Boolean, nullable=False),
        sa.Column("cost_nanousd", sa.BigInteger),
        sa.Column("saved_nanousd", sa.BigInteger),
        sa.Column("potential_nanousd", sa.BigInteger),
        sa.Column("first_byte_ms", sa.Double),
        sa.Column("total_ms", sa.Double, nullable=False),
        sa.Column("overhead_ms", sa.Double, nullable=False),
        _number("request_bytes"),
        _number("response_bytes"),
        sa.Column("service_tier", sa.Text, nullable=False),
        sa.Column("price_version", sa.Text, nullable=False),
        sa.Column("error", sa.Text, nullable=False),
        sa.Column("credential", sa.Text, nullable=False),
        sa.Column("labels", sa.JSON, nullable=False),
        sa.Column("minute", sa.BigInteger, nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_calls_started_at", "calls", ["started_at"])
    op.create_index("ix_calls_model_started_at", "calls", ["model", "started_at"])
    op.create_index("ix_calls_credential_started_at", "calls", ["credential", "started_at"])


def downgrade() -> None:
    op.drop_table("calls")
