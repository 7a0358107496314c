"""Decisions are kept until their outcome is known; secrets know who holds them; changes of guards wait for approval."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None

TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.add_column("outbox", sa.Column("outcome", JSONB))
    op.add_column("clients", sa.Column("secret_by", sa.String(255)))
    op.create_table(
        "guard_changes",
        sa.Column("id", sa.Uuid, primary_key=True),
        sa.Column("organization_id", sa.Uuid, sa.ForeignKey("organizations.id"), nullable=False),
        sa.Column("project_id", sa.Uuid, sa.ForeignKey("projects.id"), nullable=False),
        sa.Column("environment_id", sa.Uuid, sa.ForeignKey("environments.id"), nullable=False),
        sa.Column("changes", JSONB, nullable=False),
        sa.Column("weakens", JSONB, nullable=False),
        sa.Column("rule", JSONB, nullable=False),
        sa.Column("requester", JSONB, nullable=False),
        sa.Column("approvals", JSONB, nullable=False),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("requested_by", sa.String(255), nullable=False),
        sa.Column("decided_by", sa.String(255)),
        sa.Column("decided_at", TIME),
        sa.Column("expires_at", TIME, nullable=False),
        *(sa.Column(name, TIME, nullable=False, server_default=sa.func.now()) for name in ("created_at", "updated_at")),
    )
    op.create_index("ix_guard_changes_organization_id", "guard_changes", ["organization_id"])
    op.create_index(
        "ix_guard_changes_environment_id_created_at_id", "guard_changes", ["environment_id", "created_at", "id"]
    )


def downgrade() -> None:
    op.drop_table("guard_changes")
    op.drop_column("clients", "secret_by")
    op.drop_column("outbox", "outcome")
