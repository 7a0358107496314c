"""Operations know their environment, for learning how long they take; indexes for that and for sweeping."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

COMPLETED = "status = 'completed'"


def upgrade() -> None:
    op.add_column("operations", sa.Column("environment", sa.String(length=16), nullable=True))
    op.execute("UPDATE operations SET environment = left(input->'place'->>'environment', 16)")
    op.create_index(
        "ix_operations_learned",
        "operations",
        ["project_id", "environment", "kind", "completed_at"],
        unique=False,
        postgresql_where=sa.text(COMPLETED),
    )
    op.create_index(op.f("ix_idempotency_keys_expires_at"), "idempotency_keys", ["expires_at"], unique=False)
    op.create_index(
        "ix_outbox_done", "outbox", ["done_at"], unique=False, postgresql_where=sa.text("done_at IS NOT NULL")
    )


def downgrade() -> None:
    op.drop_index("ix_outbox_done", table_name="outbox", postgresql_where=sa.text("done_at IS NOT NULL"))
    op.drop_index(op.f("ix_idempotency_keys_expires_at"), table_name="idempotency_keys")
    op.drop_index("ix_operations_learned", table_name="operations", postgresql_where=sa.text(COMPLETED))
    op.drop_column("operations", "environment")
