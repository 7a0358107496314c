"""Which mailbox somebody of another issuer has, so that what they made is known to be theirs.

Of what was made before nobody knows whose it is: it approves nothing where different people have to.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import TIMESTAMP

revision = "0034"
down_revision = "0038"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "outside_people",
        sa.Column("subject", sa.String(255), primary_key=True),
        sa.Column("mailbox", sa.String(320), primary_key=True),
        sa.Column("seen_at", TIMESTAMP(timezone=True), server_default=sa.func.now(), nullable=False),
    )


def downgrade() -> None:
    op.drop_table("outside_people")
