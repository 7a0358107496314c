"""Operations keep the id of their workflow. Those that are there, and what an older API makes meanwhile, have none.

Their workflow has the operation's own id, so there is nothing to fill in.
"""

import sqlalchemy as sa
from alembic import op

revision = "0043"
down_revision = "0039"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("operations", sa.Column("workflow_id", sa.String(255), nullable=True))


def downgrade() -> None:
    op.drop_column("operations", "workflow_id")
