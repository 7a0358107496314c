"""The folder of its repository that a project is, so that several projects share one."""

import sqlalchemy as sa
from alembic import op

revision = "0026"
down_revision = "0030"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("projects", sa.Column("source_path", sa.String(length=512), nullable=False, server_default="."))


def downgrade() -> None:
    op.drop_column("projects", "source_path")
