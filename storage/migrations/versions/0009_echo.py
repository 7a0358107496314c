"""Deployments show everything that was asked of them; the history of an environment has its index."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

HISTORY = "ix_releases_environment_id_promoted_at"


def upgrade() -> None:
    op.add_column("deployments", sa.Column("request_approval", sa.Boolean, nullable=False, server_default=sa.false()))
    op.add_column("deployments", sa.Column("reason", sa.Text))
    op.add_column("deployments", sa.Column("version_tag", sa.String(255)))
    op.add_column("deployments", sa.Column("git_branch", sa.String(255)))
    op.add_column("deployments", sa.Column("git_commit_hash", sa.String(64)))
    op.execute(
        """
        UPDATE deployments d SET
            version_tag = coalesce(o.input->>'version_tag', b.version_tag),
            git_branch = coalesce(o.input->>'git_branch', b.git_branch),
            git_commit_hash = coalesce(o.input->>'git_commit_hash', b.git_commit_hash)
        FROM operations o, deployments own LEFT JOIN builds b ON b.id = own.build_id
        WHERE own.id = d.id AND o.id = d.operation_id
        """
    )
    op.alter_column("deployments", "request_approval", server_default=None)
    op.create_index(HISTORY, "releases", ["environment_id", "promoted_at"])


def downgrade() -> None:
    op.drop_index(HISTORY, table_name="releases")
    for column in ("git_commit_hash", "git_branch", "version_tag", "reason", "request_approval"):
        op.drop_column("deployments", column)
