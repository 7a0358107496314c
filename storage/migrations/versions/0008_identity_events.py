"""Users, memberships, invitations, clients, revocations; events."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

TIME = sa.DateTime(timezone=True)


def _stamps() -> tuple[sa.Column[object], ...]:
    return tuple(
        sa.Column(name, TIME, nullable=False, server_default=sa.func.now()) for name in ("created_at", "updated_at")
    )


def _organization(*, nullable: bool = False) -> sa.Column[object]:
    return sa.Column("organization_id", sa.Uuid, sa.ForeignKey("organizations.id"), nullable=nullable)


def upgrade() -> None:
    op.create_table(
        "users",
        sa.Column("id", sa.Uuid, primary_key=True),
        sa.Column("email", sa.String(254), nullable=False, unique=True),
        sa.Column("name", sa.String(255), nullable=False),
        sa.Column("password_hash", sa.String(255)),
        sa.Column("is_platform_admin", sa.Boolean, nullable=False, server_default=sa.false()),
        sa.Column("disabled_at", TIME),
        sa.Column("last_login_at", TIME),
        *_stamps(),
    )
    op.create_table(
        "memberships",
        sa.Column("id", sa.Uuid, primary_key=True),
        _organization(),
        sa.Column("user_id", sa.Uuid, sa.ForeignKey("users.id"), nullable=False, index=True),
        sa.Column("role", sa.String(32), nullable=False),
        *_stamps(),
        sa.UniqueConstraint("organization_id", "user_id"),
    )
    op.create_table(
        "invitations",
        sa.Column("id", sa.Uuid, primary_key=True),
        _organization(),
        sa.Column("email", sa.String(254), nullable=False),
        sa.Column("role", sa.String(32), nullable=False),
        sa.Column("token_hash", sa.String(64), nullable=False, unique=True),
        sa.Column("invited_by", sa.String(255), nullable=False),
        sa.Column("expires_at", TIME, nullable=False),
        sa.Column("accepted_at", TIME),
        sa.Column("revoked_at", TIME),
        *_stamps(),
    )
    op.create_table(
        "clients",
        sa.Column("id", sa.Uuid, primary_key=True),
        _organization(nullable=True),
        sa.Column("kind", sa.String(32), nullable=False),
        sa.Column("name", sa.String(255), nullable=False),
        sa.Column("secret_hash", sa.String(64)),
        sa.Column("role", sa.String(32)),
        sa.Column("scopes", JSONB, nullable=False),
        sa.Column("redirect_uris", JSONB, nullable=False),
        sa.Column("created_by", sa.String(255), nullable=False),
        sa.Column("disabled_at", TIME),
        *_stamps(),
    )
    for table in ("invitations", "clients"):
        op.create_index(f"ix_{table}_organization_id_created_at_id", table, ["organization_id", "created_at", "id"])
    op.create_table(
        "revocations",
        sa.Column("id", sa.Uuid, primary_key=True),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("value", sa.String(255), nullable=False),
        sa.Column("organization_id", sa.Uuid),
        sa.Column("issued_before", TIME),
        sa.Column("created_at", TIME, nullable=False, server_default=sa.func.now(), index=True),
        sa.Column("expires_at", TIME, nullable=False, index=True),
    )
    op.create_table(
        "events",
        sa.Column("id", sa.Uuid, primary_key=True),
        sa.Column("sequence", sa.BigInteger, sa.Identity(always=True), nullable=False, unique=True),
        _organization(),
        sa.Column("project_id", sa.Uuid),
        sa.Column("type", sa.String(64), nullable=False),
        sa.Column("resource_type", sa.String(32), nullable=False),
        sa.Column("resource_id", sa.Uuid, nullable=False),
        sa.Column("payload", JSONB, nullable=False),
        sa.Column("occurred_at", TIME, nullable=False, server_default=sa.func.now()),
        sa.Column("fanned_out_at", TIME),
    )
    waiting = sa.text("fanned_out_at IS NULL")
    op.create_index("ix_events_sequence_waiting", "events", ["sequence"], postgresql_where=waiting)
    op.create_index("ix_events_organization_id_sequence", "events", ["organization_id", "sequence"])
    op.create_index("ix_events_occurred_at", "events", ["occurred_at"])


def downgrade() -> None:
    for table in ("events", "revocations", "clients", "invitations", "memberships", "users"):
        op.drop_table(table)
