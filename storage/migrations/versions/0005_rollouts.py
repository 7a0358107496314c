"""Rollouts: previews, sticky users, the order of promotions, freezes, and who replaced whom."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("releases", sa.Column("promoted_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("releases", sa.Column("preview_token", sa.String(length=64), nullable=True))
    op.add_column("routes", sa.Column("sticky", postgresql.JSONB(astext_type=sa.Text()), nullable=True))
    for name in ("skip_analysis", "override_freeze"):
        column: sa.Column[bool] = sa.Column(name, sa.Boolean(), nullable=False, server_default=sa.false())
        op.add_column("deployments", column)
        op.alter_column("deployments", name, server_default=None)
    op.add_column("deployments", sa.Column("superseded_by", sa.Uuid(), nullable=True))
    op.add_column("deployments", sa.Column("next_open", sa.DateTime(timezone=True), nullable=True))
    # Releases of before: they became stable in the order of their ids.
    op.execute("UPDATE releases SET promoted_at = created_at WHERE was_healthy")


def downgrade() -> None:
    for name in ("next_open", "superseded_by", "override_freeze", "skip_analysis"):
        op.drop_column("deployments", name)
    op.drop_column("routes", "sticky")
    op.drop_column("releases", "preview_token")
    op.drop_column("releases", "promoted_at")
