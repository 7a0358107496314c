"""Metrics: increments as processes write them, and their rollups."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import ARRAY, BigInteger, Identity, Index, Integer, String, func
from sqlalchemy.orm import Mapped, mapped_column

from storage.models.base import Base

# Used in place of an organization for the sum of all requests, including those without an organization.
ALL_ORGANIZATIONS = UUID(int=0)


class Counted:
    """The sums of `domain.metric_counts.Counts`, which both tables have; `bins` and `bin_counts` are its sketch."""

    requests: Mapped[int] = mapped_column(BigInteger)
    errors: Mapped[int] = mapped_column(BigInteger)
    queries: Mapped[int] = mapped_column(BigInteger)
    slow_queries: Mapped[int] = mapped_column(BigInteger)
    cache_hits: Mapped[int] = mapped_column(BigInteger)
    cache_misses: Mapped[int] = mapped_column(BigInteger)
    bins: Mapped[list[int]] = mapped_column(ARRAY(Integer))
    bin_counts: Mapped[list[int]] = mapped_column(ARRAY(BigInteger))


class MetricWriter(Base):
    """A counting process, and the last of its flushes that was written, so that none is written twice."""

    __tablename__ = "metric_writers"
    __table_args__ = (Index("ix_metric_writers_seen_at", "seen_at"),)

    id: Mapped[UUID] = mapped_column(primary_key=True)
    sequence: Mapped[int] = mapped_column(BigInteger)
    seen_at: Mapped[datetime] = mapped_column(server_default=func.now())


class MetricIncrement(Counted, Base):
    """The counts of one process for one organization, or for all, since its last flush. Deleted once rolled up.

    No foreign key: a flush must not fail because of an unknown organization. The other columns are the process's
    resource usage; only rows for all organizations have them.
    """

    __tablename__ = "metric_increments"
    __table_args__ = (Index("ix_metric_increments_organization_id_minute", "organization_id", "minute"),)

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    organization_id: Mapped[UUID]
    minute: Mapped[datetime]
    writer: Mapped[UUID]
    host: Mapped[str | None] = mapped_column(String(64))
    seconds: Mapped[float | None]
    cpu_s: Mapped[float | None]
    cores: Mapped[float | None]
    memory_mb_s: Mapped[float | None]
    memory_total_mb: Mapped[float | None]


class MetricRollup(Counted, Base):
    """The counts of one interval: `step_s` seconds from `beginning` on. The percentiles come from its sketch."""

    __tablename__ = "metric_rollups"
    __table_args__ = (Index("ix_metric_rollups_step_s_beginning", "step_s", "beginning"),)

    organization_id: Mapped[UUID] = mapped_column(primary_key=True)
    step_s: Mapped[int] = mapped_column(Integer, primary_key=True)
    beginning: Mapped[datetime] = mapped_column(primary_key=True)
    cpu_s: Mapped[float]
    cpu_capacity_s: Mapped[float]
    memory_mb_s: Mapped[float]
    memory_capacity_mb_s: Mapped[float]
    p50_ms: Mapped[float | None]
    p95_ms: Mapped[float | None]
    p99_ms: Mapped[float | None]
