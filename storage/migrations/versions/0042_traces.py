"""Operations and what waits in the outbox know the trace that they belong to."""

import sqlalchemy as sa
from alembic import op

revision = "0042"
down_revision = "0043"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("operations", sa.Column("traceparent", sa.String(55), nullable=True))
    op.add_column("outbox", sa.Column("traceparent", sa.String(55), nullable=True))


def downgrade() -> None:
    op.drop_column("outbox", "traceparent")
    op.drop_column("operations", "traceparent")
