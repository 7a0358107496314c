"""A mailbox is proven before its address is somebody's; mails wait in an outbox; who made an organization."""

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0024"
branch_labels = None
depends_on = None

TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.add_column("organizations", sa.Column("created_by", sa.String(255)))
    op.create_index("ix_organizations_created_by", "organizations", ["created_by"])
    op.add_column("users", sa.Column("email_verified_at", TIME))
    # The operator names them; of all others nobody has shown that the address is theirs.
    op.execute("UPDATE users SET email_verified_at = now() WHERE is_platform_admin")
    op.drop_constraint("uq_users_email", "users", type_="unique")
    op.create_index("ix_users_email", "users", ["email"])
    op.create_index(
        "uq_users_email_proven",
        "users",
        ["email"],
        unique=True,
        postgresql_where=sa.text("email_verified_at IS NOT NULL"),
    )
    op.add_column("invitations", sa.Column("proves", sa.Boolean, nullable=False, server_default=sa.false()))
    op.create_table(
        "mails",
        sa.Column("id", sa.Uuid, primary_key=True),
        sa.Column("organization_id", sa.Uuid, sa.ForeignKey("organizations.id")),
        sa.Column("recipient", sa.String(254), nullable=False),
        sa.Column("kind", sa.String(32), nullable=False),
        sa.Column("resource_id", sa.Uuid, nullable=False),
        sa.Column("sealed_text", sa.LargeBinary),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False, server_default="0"),
        sa.Column("last_error", sa.String(500)),
        sa.Column("due_at", TIME, nullable=False, server_default=sa.func.now()),
        sa.Column("expires_at", TIME, nullable=False),
        *(sa.Column(name, TIME, nullable=False, server_default=sa.func.now()) for name in ("created_at", "updated_at")),
    )
    op.create_index("ix_mails_due", "mails", ["due_at"], postgresql_where=sa.text("status = 'pending'"))
    op.create_index("ix_mails_organization_id_created_at", "mails", ["organization_id", "created_at"])
    op.create_index("ix_mails_recipient_created_at", "mails", ["recipient", "created_at"])
    op.create_index("ix_mails_created_at", "mails", ["created_at"])
    op.create_index(
        "ix_webhook_deliveries_asked",
        "webhook_deliveries",
        ["organization_id"],
        postgresql_where=sa.text("status IN ('pending', 'failed') AND trigger <> 'event'"),
    )


def downgrade() -> None:
    op.drop_index("ix_webhook_deliveries_asked", "webhook_deliveries")
    op.drop_table("mails")
    op.drop_column("invitations", "proves")
    op.drop_index("uq_users_email_proven", "users")
    op.drop_index("ix_users_email", "users")
    op.create_unique_constraint("uq_users_email", "users", ["email"])
    op.drop_column("users", "email_verified_at")
    op.drop_index("ix_organizations_created_by", "organizations")
    op.drop_column("organizations", "created_by")
