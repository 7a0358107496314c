"""Lists: indexes that begin with what a list is of and go on with its order."""

from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

LISTS = (
    ("organizations", "created_at"),
    ("organizations", "updated_at"),
    ("organizations", "name"),
    ("projects", "organization_id", "created_at"),
    ("projects", "organization_id", "updated_at"),
    ("projects", "organization_id", "name"),
    ("requirements", "project_id", "created_at"),
    ("features", "requirement_id", "created_at"),
    ("builds", "feature_id", "created_at"),
    ("deployments", "project_id", "created_at"),
    ("deployments", "project_id", "status", "created_at"),
    ("deployments", "project_id", "environment", "created_at"),
    ("deployments", "build_id", "created_at"),
    ("operations", "created_at"),
    ("operations", "organization_id", "created_at"),
    ("operations", "organization_id", "status", "created_at"),
    ("operations", "project_id", "created_at"),
)


def upgrade() -> None:
    for table, *columns in LISTS:
        op.create_index(_name(table, columns), table, [*columns, "id"])


def downgrade() -> None:
    for table, *columns in reversed(LISTS):
        op.drop_index(_name(table, columns), table_name=table)


def _name(table: str, columns: list[str]) -> str:
    return f"ix_{table}_{'_'.join(columns)}_id"
