"""What the provider's prompt cache did for a call."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("calls", sa.Column("prompt_cache", sa.JSON))


def downgrade() -> None:
    op.drop_column("calls", "prompt_cache")
