"""API keys; an organization's own rate limits."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

TIME = sa.DateTime(timezone=True)
LIMITS = ("requests_per_minute", "requests_per_hour", "requests_per_day")


def upgrade() -> None:
    for name in LIMITS:
        op.add_column("organizations", sa.Column(name, sa.Integer))
    op.create_table(
        "api_keys",
        sa.Column("id", sa.Uuid, primary_key=True),
        sa.Column("organization_id", sa.Uuid, sa.ForeignKey("organizations.id"), nullable=False),
        sa.Column("name", sa.String(255), nullable=False),
        sa.Column("key_hash", sa.String(64), nullable=False, unique=True),
        sa.Column("prefix", sa.String(16), nullable=False),
        sa.Column("scopes", JSONB, nullable=False),
        sa.Column("role", sa.String(32), nullable=False),
        sa.Column("created_by", sa.String(255), nullable=False),
        sa.Column("creator_kind", sa.String(16), nullable=False),
        sa.Column("creator_id", sa.Uuid),
        sa.Column("requests_per_minute", sa.Integer),
        sa.Column("expires_at", TIME, nullable=False),
        sa.Column("last_used_at", TIME),
        sa.Column("last_used_address", sa.String(64)),
        sa.Column("revoked_at", TIME),
        sa.Column("replaces", sa.Uuid, sa.ForeignKey("api_keys.id")),
        sa.Column("overlap_ends_at", TIME),
        sa.Column("created_at", TIME, nullable=False, server_default=sa.func.now()),
        sa.Column("updated_at", TIME, nullable=False, server_default=sa.func.now()),
    )
    op.create_index("ix_api_keys_organization_id_created_at_id", "api_keys", ["organization_id", "created_at", "id"])


def downgrade() -> None:
    op.drop_table("api_keys")
    for name in LIMITS:
        op.drop_column("organizations", name)
