"""Vulnerabilities of projects, the builds they were found in, and which releases of a build are live."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0047"
down_revision = "0045"
branch_labels = None
depends_on = None

TIME = sa.DateTime(timezone=True)

PARTIAL = {
    "ix_vulnerabilities_untold": (["organization_id", "id"], "told_at IS NULL"),
    "ix_vulnerabilities_unfixed": (["project_id", "severity_rank", "id"], "status <> 'fixed'"),
}


def upgrade() -> None:
    op.create_table(
        "vulnerabilities",
        sa.Column("id", sa.Uuid(), primary_key=True),
        sa.Column("organization_id", sa.Uuid(), sa.ForeignKey("organizations.id"), nullable=False, index=True),
        sa.Column("project_id", sa.Uuid(), sa.ForeignKey("projects.id"), nullable=False),
        sa.Column("fingerprint", sa.String(64), nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("tool", sa.String(64), nullable=False),
        sa.Column("rule", sa.String(128), nullable=False),
        sa.Column("aliases", JSONB, nullable=False),
        sa.Column("severity_rank", sa.SmallInteger(), nullable=False),
        sa.Column("cvss_score", sa.Float()),
        sa.Column("cvss_vector", sa.String(256)),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("ecosystem", sa.String(16)),
        sa.Column("package", sa.String(512)),
        sa.Column("package_version", sa.String(256)),
        sa.Column("fixed_versions", JSONB, nullable=False),
        sa.Column("location_path", sa.String(1024)),
        sa.Column("location_line", sa.Integer()),
        sa.Column("links", JSONB, nullable=False),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("suppression_reason", sa.String(32)),
        sa.Column("suppressed_until", TIME),
        sa.Column("note", sa.Text()),
        sa.Column("triaged_by", sa.String(255)),
        sa.Column("triaged_at", TIME),
        sa.Column("first_build_id", sa.Uuid(), sa.ForeignKey("builds.id"), nullable=False),
        sa.Column("last_build_id", sa.Uuid(), sa.ForeignKey("builds.id"), nullable=False),
        sa.Column("last_seen_at", TIME, nullable=False),
        sa.Column("detected_at", TIME, nullable=False),
        sa.Column("reopened_at", TIME),
        sa.Column("fixed_at", TIME),
        sa.Column("fixed_number", sa.Integer()),
        sa.Column("told_at", TIME),
        sa.Column("created_at", TIME, server_default=sa.func.now(), nullable=False),
        sa.Column("updated_at", TIME, server_default=sa.func.now(), nullable=False),
        sa.UniqueConstraint("project_id", "fingerprint"),
    )
    op.create_table(
        "build_findings",
        sa.Column("build_id", sa.Uuid(), sa.ForeignKey("builds.id", ondelete="CASCADE"), primary_key=True),
        sa.Column(
            "vulnerability_id",
            sa.Uuid(),
            sa.ForeignKey("vulnerabilities.id", ondelete="CASCADE"),
            primary_key=True,
            index=True,
        ),
        sa.Column("organization_id", sa.Uuid(), sa.ForeignKey("organizations.id"), nullable=False, index=True),
        sa.Column("package_version", sa.String(256)),
        sa.Column("location_path", sa.String(1024)),
        sa.Column("location_line", sa.Integer()),
    )
    for column in ("severity_rank", "created_at", "last_seen_at"):
        op.create_index(f"ix_vulnerabilities_project_id_{column}_id", "vulnerabilities", ["project_id", column, "id"])
    for name, (columns, where) in PARTIAL.items():
        op.create_index(name, "vulnerabilities", columns, postgresql_where=sa.text(where))
    op.create_index("ix_releases_live_builds", "releases", ["build_id"], postgresql_where=sa.text("state = 'active'"))


def downgrade() -> None:
    op.drop_index("ix_releases_live_builds", "releases")
    op.drop_table("build_findings")
    op.drop_table("vulnerabilities")
