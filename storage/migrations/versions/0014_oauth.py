"""The OAuth server: signing keys, grants, refresh tokens, logins, counted attempts."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

TIME = sa.DateTime(timezone=True)
HASH = sa.String(64)
ONE_EACH = sa.text("state IN ('next', 'active')")


def _created() -> sa.Column[object]:
    return sa.Column("created_at", TIME, nullable=False, server_default=sa.func.now())


def _expires() -> sa.Column[object]:
    return sa.Column("expires_at", TIME, nullable=False, index=True)


def upgrade() -> None:
    op.create_table(
        "signing_keys",
        sa.Column("id", sa.Uuid, primary_key=True),
        sa.Column("kid", HASH, nullable=False, unique=True),
        sa.Column("algorithm", sa.String(16), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("public_key", sa.Text, nullable=False),
        sa.Column("private_key", sa.LargeBinary, nullable=False),
        _created(),
        sa.Column("activated_at", TIME),
        sa.Column("retired_at", TIME),
        sa.Index(
            "uq_signing_keys_state", "state", unique=True, postgresql_where=sa.text("state IN ('next', 'active')")
        ),
    )
    op.create_table(
        "oauth_grants",
        sa.Column("id", sa.Uuid, primary_key=True),
        sa.Column("client_id", sa.Uuid, sa.ForeignKey("clients.id"), nullable=False, index=True),
        sa.Column("user_id", sa.Uuid, sa.ForeignKey("users.id"), nullable=False, index=True),
        sa.Column("organization_id", sa.Uuid, sa.ForeignKey("organizations.id")),
        sa.Column("scopes", JSONB, nullable=False),
        sa.Column("redirect_uri", sa.String(2048), nullable=False),
        sa.Column("code_hash", HASH, nullable=False, unique=True),
        sa.Column("code_challenge", sa.String(128), nullable=False),
        sa.Column("code_used_at", TIME),
        _created(),
        _expires(),
        sa.Column("revoked_at", TIME),
    )
    op.create_table(
        "refresh_tokens",
        sa.Column("id", sa.Uuid, primary_key=True),
        sa.Column(
            "grant_id", sa.Uuid, sa.ForeignKey("oauth_grants.id", ondelete="CASCADE"), nullable=False, index=True
        ),
        sa.Column("token_hash", HASH, nullable=False, unique=True),
        _created(),
        sa.Column("used_at", TIME),
    )
    op.create_table(
        "login_sessions",
        sa.Column("id", sa.Uuid, primary_key=True),
        sa.Column("token_hash", HASH, nullable=False, unique=True),
        sa.Column("user_id", sa.Uuid, sa.ForeignKey("users.id"), nullable=False, index=True),
        _created(),
        _expires(),
    )
    op.create_table(
        "attempts",
        sa.Column("key", HASH, primary_key=True),
        sa.Column("count", sa.Integer, nullable=False),
        sa.Column("blocked_until", TIME, nullable=False),
        _expires(),
    )


def downgrade() -> None:
    for table in ("attempts", "login_sessions", "refresh_tokens", "oauth_grants", "signing_keys"):
        op.drop_table(table)
