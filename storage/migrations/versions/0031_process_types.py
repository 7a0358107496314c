"""Process types beside the service: what a release runs of them, and which instance is of which type."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0031"
down_revision = "0034"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("releases", sa.Column("processes", JSONB, nullable=False, server_default="{}"))
    op.add_column("instances", sa.Column("type", sa.String(63), nullable=False, server_default="web"))
    op.alter_column("instances", "id", type_=sa.String(128), existing_type=sa.String(64))
    op.create_unique_constraint("uq_instances_release_id_type_index", "instances", ["release_id", "type", "index"])
    op.drop_constraint("uq_instances_release_id_index", "instances")


def downgrade() -> None:
    op.execute("DELETE FROM instances WHERE type <> 'web'")
    op.create_unique_constraint("uq_instances_release_id_index", "instances", ["release_id", "index"])
    op.drop_constraint("uq_instances_release_id_type_index", "instances")
    op.alter_column("instances", "id", type_=sa.String(64), existing_type=sa.String(128))
    op.drop_column("instances", "type")
    op.drop_column("releases", "processes")
