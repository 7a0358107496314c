"""Deployments keep the options of their rollout that have no column of their own."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0039"
down_revision = "0031"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("deployments", sa.Column("options", JSONB, nullable=True))


def downgrade() -> None:
    op.drop_column("deployments", "options")
