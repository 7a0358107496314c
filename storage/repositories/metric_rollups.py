"""Rollups of metrics: sums of the increments in steps of a minute, of five minutes, of an hour."""

import json
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Final, cast
from uuid import UUID

from sqlalchemy import CursorResult, Row, and_, delete, func, or_, select, text, tuple_
from sqlalchemy.ext.asyncio import AsyncSession

from domain.latencies import percentiles
from domain.metric_counts import PERCENTILES, SUMS, Counts
from storage.models import MetricRollup, MetricWriter
from storage.repositories.metric_increments import counted

Key = tuple[UUID, int, datetime]
"""Organization, seconds of a step, its beginning."""
_WRITE: Final = """
INSERT INTO metric_rollups (
    organization_id, step_s, beginning, requests, errors, queries, slow_queries, cache_hits, cache_misses, cpu_s,
    cpu_capacity_s, memory_mb_s, memory_capacity_mb_s, p50_ms, p95_ms, p99_ms, bins, bin_counts
)
SELECT
    r.organization_id, r.step_s, r.beginning, r.requests, r.errors, r.queries, r.slow_queries, r.cache_hits,
    r.cache_misses, r.cpu_s, r.cpu_capacity_s, r.memory_mb_s, r.memory_capacity_mb_s, r.p50_ms, r.p95_ms, r.p99_ms,
    r.bins, r.bin_counts
FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS r(
    organization_id uuid, step_s integer, beginning timestamptz, requests bigint, errors bigint, queries bigint,
    slow_queries bigint, cache_hits bigint, cache_misses bigint, cpu_s double precision,
    cpu_capacity_s double precision, memory_mb_s double precision, memory_capacity_mb_s double precision,
    p50_ms double precision, p95_ms double precision, p99_ms double precision, bins integer[], bin_counts bigint[]
)
ON CONFLICT (organization_id, step_s, beginning) DO UPDATE SET
    requests = excluded.requests, errors = excluded.errors, queries = excluded.queries,
    slow_queries = excluded.slow_queries, cache_hits = excluded.cache_hits, cache_misses = excluded.cache_misses,
    cpu_s = excluded.cpu_s, cpu_capacity_s = excluded.cpu_capacity_s, memory_mb_s = excluded.memory_mb_s,
    memory_capacity_mb_s = excluded.memory_capacity_mb_s, p50_ms = excluded.p50_ms, p95_ms = excluded.p95_ms,
    p99_ms = excluded.p99_ms, bins = excluded.bins, bin_counts = excluded.bin_counts
"""


class MetricRollups:
    """Across all tenants. The caller of `add` holds the lock of `MetricIncrements.take`."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def add(self, found: Mapping[Key, Counts]) -> None:
        """Add to steps; missing ones are created."""
        key = MetricRollup.organization_id, MetricRollup.step_s, MetricRollup.beginning
        statement = select(*MetricRollup.__table__.columns).where(tuple_(*key).in_(list(found)))
        for row in await self._session.execute(statement):
            found[row.organization_id, row.step_s, row.beginning].add(_stored(row))
        rows = json.dumps([_row(*one) for one in found.items()])
        await self._session.execute(text(_WRITE), {"rows": rows})

    async def expire(self, kept: Mapping[timedelta, timedelta], *, limit: int) -> int:
        """Delete steps beyond the retention of their length; returns their number."""
        old = or_(
            *(
                and_(MetricRollup.step_s == int(step.total_seconds()), MetricRollup.beginning < func.now() - length)
                for step, length in kept.items()
            )
        )
        key = MetricRollup.organization_id, MetricRollup.step_s, MetricRollup.beginning
        those = select(*key).where(old).limit(limit).with_for_update(skip_locked=True)
        return await self._count(delete(MetricRollup).where(tuple_(*key).in_(those)))

    async def forget_writers(self, *, older_than: timedelta, limit: int) -> int:
        """Delete processes that have written nothing for that long; returns their number."""
        old = select(MetricWriter.id).where(MetricWriter.seen_at < func.now() - older_than)
        return await self._count(
            delete(MetricWriter).where(MetricWriter.id.in_(old.limit(limit).with_for_update(skip_locked=True)))
        )

    async def _count(self, statement: Any) -> int:
        done = await self._session.execute(statement, execution_options={"synchronize_session": False})
        return cast("CursorResult[Any]", done).rowcount


def _stored(row: Row[Any]) -> Counts:
    return counted(row, SUMS)


def _row(key: Key, counts: Counts) -> dict[str, Any]:
    p50, p95, p99 = percentiles(counts.latencies, PERCENTILES)
    organization_id, step_s, beginning = key
    return {
        "organization_id": str(organization_id),
        "step_s": step_s,
        "beginning": beginning.isoformat(),
        **{name: getattr(counts, name) for name in SUMS},
        "p50_ms": p50,
        "p95_ms": p95,
        "p99_ms": p99,
        "bins": list(counts.latencies),
        "bin_counts": list(counts.latencies.values()),
    }
