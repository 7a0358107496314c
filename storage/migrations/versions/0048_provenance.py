"""Signed provenance: the keys that sign it, and whose artifact a build's is about.

Builds that are there have none and are let through without; those made from now on are not.
"""

import sqlalchemy as sa
from alembic import op

revision = "0048"
down_revision = "0047"
branch_labels = None
depends_on = None

TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "attestation_keys",
        sa.Column("id", sa.Uuid(), primary_key=True),
        sa.Column("kid", sa.String(64), unique=True, nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("public_key", sa.Text(), nullable=False),
        sa.Column("sealed_key", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", TIME, server_default=sa.func.now(), nullable=False),
        sa.Column("retired_at", TIME, nullable=True),
        sa.Column("verifies_until", TIME, nullable=True),
        sa.Column("revoked_at", TIME, nullable=True),
    )
    op.create_index(
        "uq_attestation_keys_active",
        "attestation_keys",
        ["state"],
        unique=True,
        postgresql_where=sa.text("state = 'active'"),
    )
    op.add_column("builds", sa.Column("attested_digest", sa.String(128), nullable=True))
    # A constant default writes no row; then the default of those to come.
    op.add_column("builds", sa.Column("before_provenance", sa.Boolean(), nullable=False, server_default=sa.true()))
    op.alter_column("builds", "before_provenance", server_default=sa.false())


def downgrade() -> None:
    op.drop_column("builds", "before_provenance")
    op.drop_column("builds", "attested_digest")
    op.drop_index("uq_attestation_keys_active", "attestation_keys")
    op.drop_table("attestation_keys")
