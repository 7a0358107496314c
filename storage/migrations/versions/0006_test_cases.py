"""Test cases and their results; the order of lists of requirements and features."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "test_cases",
        sa.Column("organization_id", sa.Uuid(), nullable=False),
        sa.Column("project_id", sa.Uuid(), nullable=False),
        sa.Column("feature_id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("test_type", sa.String(length=16), nullable=True),
        sa.Column("priority", sa.String(length=16), nullable=True),
        sa.Column("steps", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("expected_result", sa.Text(), nullable=False),
        sa.Column("automated", sa.Boolean(), nullable=False),
        sa.Column("automation_tool", sa.String(length=255), nullable=True),
        sa.Column("automation_script_path", sa.String(length=2048), nullable=True),
        sa.Column("created_by", sa.String(length=255), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(
            ["organization_id"], ["organizations.id"], name=op.f("fk_test_cases_organization_id_organizations")
        ),
        sa.ForeignKeyConstraint(["project_id"], ["projects.id"], name=op.f("fk_test_cases_project_id_projects")),
        sa.ForeignKeyConstraint(
            ["feature_id"], ["features.id"], name=op.f("fk_test_cases_feature_id_features"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_test_cases")),
    )
    op.create_index(op.f("ix_test_cases_organization_id"), "test_cases", ["organization_id"])
    op.create_index(op.f("ix_test_cases_project_id"), "test_cases", ["project_id"])
    for column in ("created_at", "updated_at", "name"):
        op.create_index(f"ix_test_cases_feature_id_{column}_id", "test_cases", ["feature_id", column, "id"])
    op.create_table(
        "test_results",
        sa.Column("organization_id", sa.Uuid(), nullable=False),
        sa.Column("test_case_id", sa.Uuid(), nullable=False),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("duration_ms", sa.Integer(), nullable=False),
        sa.Column("error_message", sa.Text(), nullable=True),
        sa.Column("assertions_run", sa.Integer(), nullable=False),
        sa.Column("assertions_passed", sa.Integer(), nullable=False),
        sa.Column("assertions_failed", sa.Integer(), nullable=False),
        sa.Column("code_coverage_percent", sa.Float(), nullable=True),
        sa.Column("logs", sa.JSON(), nullable=False),
        sa.Column("recorded_by", sa.String(length=255), nullable=False),
        sa.Column("executed_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(
            ["organization_id"], ["organizations.id"], name=op.f("fk_test_results_organization_id_organizations")
        ),
        sa.ForeignKeyConstraint(
            ["test_case_id"],
            ["test_cases.id"],
            name=op.f("fk_test_results_test_case_id_test_cases"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_test_results")),
    )
    op.create_index(op.f("ix_test_results_organization_id"), "test_results", ["organization_id"])
    op.create_index("ix_test_results_test_case_id_created_at_id", "test_results", ["test_case_id", "created_at", "id"])

    for column in ("updated_at", "title"):
        op.create_index(f"ix_requirements_project_id_{column}_id", "requirements", ["project_id", column, "id"])
    for column in ("updated_at", "name"):
        op.create_index(f"ix_features_requirement_id_{column}_id", "features", ["requirement_id", column, "id"])


def downgrade() -> None:
    for column in ("updated_at", "name"):
        op.drop_index(f"ix_features_requirement_id_{column}_id", table_name="features")
    for column in ("updated_at", "title"):
        op.drop_index(f"ix_requirements_project_id_{column}_id", table_name="requirements")
    op.drop_table("test_results")
    op.drop_table("test_cases")
