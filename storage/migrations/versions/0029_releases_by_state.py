"""The keeper asks every few seconds for releases by their state: not by reading all that ever were."""

from alembic import op

revision = "0029"
down_revision = "0026"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index("ix_releases_state", "releases", ["state"])


def downgrade() -> None:
    op.drop_index("ix_releases_state", "releases")
