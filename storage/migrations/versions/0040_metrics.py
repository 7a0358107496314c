"""What the API counts of its work: increments of each process, and what they add up to."""

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import ARRAY

revision = "0040"
down_revision = "0041"
branch_labels = None
depends_on = None


def _counted() -> list[sa.Column[Any]]:
    names = ("requests", "errors", "queries", "slow_queries", "cache_hits", "cache_misses")
    return [
        *(sa.Column(name, sa.BigInteger, nullable=False) for name in names),
        sa.Column("bins", ARRAY(sa.Integer), nullable=False),
        sa.Column("bin_counts", ARRAY(sa.BigInteger), nullable=False),
    ]


def upgrade() -> None:
    op.create_table(
        "metric_writers",
        sa.Column("id", sa.Uuid, primary_key=True),
        sa.Column("sequence", sa.BigInteger, nullable=False),
        sa.Column("seen_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now()),
    )
    op.create_index("ix_metric_writers_seen_at", "metric_writers", ["seen_at"])
    op.create_table(
        "metric_increments",
        sa.Column("id", sa.BigInteger, sa.Identity(always=True), primary_key=True),
        sa.Column("organization_id", sa.Uuid, nullable=False),
        sa.Column("minute", sa.DateTime(timezone=True), nullable=False),
        sa.Column("writer", sa.Uuid, nullable=False),
        sa.Column("host", sa.String(64)),
        *(sa.Column(name, sa.Float) for name in ("seconds", "cpu_s", "cores", "memory_mb_s", "memory_total_mb")),
        *_counted(),
    )
    op.create_index("ix_metric_increments_organization_id_minute", "metric_increments", ["organization_id", "minute"])
    op.create_table(
        "metric_rollups",
        sa.Column("organization_id", sa.Uuid, primary_key=True),
        sa.Column("step_s", sa.Integer, primary_key=True),
        sa.Column("beginning", sa.DateTime(timezone=True), primary_key=True),
        *(
            sa.Column(name, sa.Float, nullable=False)
            for name in ("cpu_s", "cpu_capacity_s", "memory_mb_s", "memory_capacity_mb_s")
        ),
        *(sa.Column(name, sa.Float) for name in ("p50_ms", "p95_ms", "p99_ms")),
        *_counted(),
    )
    op.create_index("ix_metric_rollups_step_s_beginning", "metric_rollups", ["step_s", "beginning"])


def downgrade() -> None:
    for name in ("metric_rollups", "metric_increments", "metric_writers"):
        op.drop_table(name)
