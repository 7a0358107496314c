"""What delivery metrics are made of: when a deployment went live, and when its commit was made.

Of deployments that are there, `live_at` is when they were complete, unless that was their rollback. Of commits nothing
is known afterwards.
"""

import sqlalchemy as sa
from alembic import op

revision = "0044"
down_revision = "0040"
branch_labels = None
depends_on = None

TIME = sa.DateTime(timezone=True)

FILL = """
UPDATE deployments SET live_at = completed_at
WHERE completed_at IS NOT NULL
  AND (status = 'success'
       OR (status IN ('rolling_back', 'rolled_back') AND (rolled_back_at IS NULL OR completed_at < rolled_back_at)))
"""

INDEXES = {
    "ix_deployments_organization_id_live_at": (["organization_id", "live_at"], "live_at IS NOT NULL"),
    "ix_deployments_organization_id_rolled_back_at": (
        ["organization_id", "rolled_back_at"],
        "rolled_back_at IS NOT NULL",
    ),
    "ix_deployments_live_commits": (["environment_id", "git_commit_hash", "live_at"], "live_at IS NOT NULL"),
}


def upgrade() -> None:
    op.add_column("builds", sa.Column("committed_at", TIME, nullable=True))
    op.add_column("deployments", sa.Column("live_at", TIME, nullable=True))
    op.execute(FILL)
    for name, (columns, where) in INDEXES.items():
        op.create_index(name, "deployments", columns, postgresql_where=sa.text(where))


def downgrade() -> None:
    for name in INDEXES:
        op.drop_index(name, "deployments")
    op.drop_column("deployments", "live_at")
    op.drop_column("builds", "committed_at")
