"""Results of test cases know the build whose tests they are of. Of those that are there nobody said."""

import sqlalchemy as sa
from alembic import op

revision = "0046"
down_revision = "0048"
branch_labels = None
depends_on = None

INDEX = "uq_test_results_build_id_test_case_id"


def upgrade() -> None:
    op.add_column(
        "test_results",
        sa.Column("build_id", sa.Uuid(), sa.ForeignKey("builds.id", ondelete="CASCADE"), nullable=True),
    )
    op.create_index(
        INDEX,
        "test_results",
        ["build_id", "test_case_id"],
        unique=True,
        postgresql_where=sa.text("build_id IS NOT NULL"),
    )


def downgrade() -> None:
    op.drop_index(INDEX, "test_results")
    op.drop_column("test_results", "build_id")
