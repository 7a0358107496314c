"""Whoever was shown any secret of a service account answers for it, also after somebody else rotated the secret."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0030"
down_revision = "0019"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("clients", sa.Column("secret_holders", JSONB, nullable=False, server_default="[]"))
    op.execute("UPDATE clients SET secret_holders = jsonb_build_array(secret_by) WHERE secret_by IS NOT NULL")


def downgrade() -> None:
    op.drop_column("clients", "secret_holders")
