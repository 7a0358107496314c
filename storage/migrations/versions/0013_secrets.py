"""Secrets of projects, and which of them a release runs with."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "secrets",
        sa.Column("id", sa.Uuid, primary_key=True),
        sa.Column("organization_id", sa.Uuid, sa.ForeignKey("organizations.id"), nullable=False, index=True),
        sa.Column("project_id", sa.Uuid, sa.ForeignKey("projects.id"), nullable=False),
        sa.Column("environment", sa.String(16)),
        sa.Column("name", sa.String(128), nullable=False),
        sa.Column("kind", sa.String(32), nullable=False),
        sa.Column("sealed_value", sa.LargeBinary, nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("host", sa.String(300)),
        sa.Column("created_by", sa.String(255), nullable=False),
        sa.Column("created_at", TIME, nullable=False, server_default=sa.func.now()),
        sa.Column("updated_at", TIME, nullable=False, server_default=sa.func.now()),
        sa.UniqueConstraint("project_id", "name", "environment", postgresql_nulls_not_distinct=True),
    )
    op.create_index(
        "uq_secrets_project_id_kind_single",
        "secrets",
        ["project_id", "kind"],
        unique=True,
        postgresql_where=sa.text("kind IN ('git_https_token', 'git_ssh_key', 'ssh_known_hosts')"),
    )
    op.create_index("ix_secrets_project_id_created_at_id", "secrets", ["project_id", "created_at", "id"])
    op.add_column("releases", sa.Column("secrets", JSONB, nullable=False, server_default=sa.text("'[]'")))


def downgrade() -> None:
    op.drop_column("releases", "secrets")
    op.drop_table("secrets")
