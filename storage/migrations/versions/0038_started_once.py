"""An operation is carried out by one run of its workflow: which one."""

import sqlalchemy as sa
from alembic import op

revision = "0038"
down_revision = "0029"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("operations", sa.Column("workflow_run_id", sa.Uuid, nullable=True))


def downgrade() -> None:
    op.drop_column("operations", "workflow_run_id")
