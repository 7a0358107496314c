"""Increments of metrics: written exactly once, whatever happens to a connection; deleted when they are rolled up."""

import json
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Row, delete, func, select, text, tuple_
from sqlalchemy.ext.asyncio import AsyncSession

from domain.metric_counts import Counts, HostUse, Increment, machine_use
from storage.models import MetricIncrement
from storage.models.metrics import ALL_ORGANIZATIONS

_LOCK = 0x4D6574726963  # "Metric" in ASCII: the advisory lock's number
_COUNTED: Final = ("requests", "errors", "queries", "slow_queries", "cache_hits", "cache_misses")
_USED: Final = ("host", "seconds", "cpu_s", "cores", "memory_mb_s", "memory_total_mb")
# Uses the database's clock: processes send only the age of a value. A sequence number that was written before, by a
# flush whose commit was never confirmed, writes nothing again.
_WRITE = """
WITH writer AS (
    INSERT INTO metric_writers (id, sequence) VALUES (:writer, :sequence)
    ON CONFLICT (id) DO UPDATE SET sequence = excluded.sequence, seen_at = now()
    WHERE metric_writers.sequence < excluded.sequence
    RETURNING id
)
INSERT INTO metric_increments (
    organization_id, minute, writer, host, seconds, cpu_s, cores, memory_mb_s, memory_total_mb,
    requests, errors, queries, slow_queries, cache_hits, cache_misses, bins, bin_counts
)
SELECT
    r.organization_id,
    date_bin('1 minute', statement_timestamp() - make_interval(secs => r.age_s), '2000-01-01T00:00:00Z'),
    writer.id, r.host, r.seconds, r.cpu_s, r.cores, r.memory_mb_s, r.memory_total_mb,
    r.requests, r.errors, r.queries, r.slow_queries, r.cache_hits, r.cache_misses, r.bins, r.bin_counts
FROM writer CROSS JOIN jsonb_to_recordset(CAST(:rows AS jsonb)) AS r(
    organization_id uuid, age_s double precision, host text, seconds double precision, cpu_s double precision,
    cores double precision, memory_mb_s double precision, memory_total_mb double precision,
    requests bigint, errors bigint, queries bigint, slow_queries bigint, cache_hits bigint, cache_misses bigint,
    bins integer[], bin_counts bigint[]
)
WHERE r.organization_id = :all OR EXISTS (SELECT FROM organizations o WHERE o.id = r.organization_id)
"""


class MetricIncrements:
    """Across all tenants."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def write(self, writer: UUID, sequence: int, increments: Sequence[Increment]) -> None:
        """Write a flush of a process in one statement; nothing if it was written before.

        Increments of organizations that do not exist are left out; the total includes them.
        """
        rows = json.dumps([_row(one) for one in increments])
        await self._session.execute(
            text(_WRITE), {"writer": writer, "sequence": sequence, "rows": rows, "all": ALL_ORGANIZATIONS}
        )

    async def take(self, *, older_than: timedelta, limit: int) -> dict[tuple[UUID, datetime], Counts]:
        """Delete the increments of a number of minutes that ended some time ago; returns their sums.

        One process at a time, until its transaction ends: others get nothing.
        """
        if not await self._session.scalar(select(func.pg_try_advisory_xact_lock(_LOCK))):
            return {}
        key = MetricIncrement.organization_id, MetricIncrement.minute
        old = select(*key).where(MetricIncrement.minute < func.now() - older_than)
        keys = (await self._session.execute(old.group_by(*key).order_by(key[1], key[0]).limit(limit))).all()
        if not keys:
            return {}
        statement = (
            delete(MetricIncrement)
            .where(tuple_(*key).in_([tuple(one) for one in keys]))
            .returning(*MetricIncrement.__table__.columns)
        )
        found: dict[tuple[UUID, datetime], list[Row[Any]]] = {}
        for row in await self._session.execute(statement):
            found.setdefault((row.organization_id, row.minute), []).append(row)
        return {one: sum_of(rows) for one, rows in found.items()}


def sum_of(rows: Iterable[Row[Any]]) -> Counts:
    """All increments of a minute for one organization, or for all, added up."""
    rows = list(rows)
    found = machine_use(
        HostUse(str(row.writer), *(getattr(row, name) for name in _USED)) for row in rows if row.host is not None
    )
    for row in rows:
        found.add(counted(row, _COUNTED))
    return found


def counted(row: Row[Any], names: Iterable[str]) -> Counts:
    """The sums of a row, and its sketch."""
    sketch = dict(zip(row.bins, row.bin_counts, strict=True))
    return Counts(**{name: getattr(row, name) for name in names}, latencies=sketch)


def _row(one: Increment) -> dict[str, Any]:
    counts, use = one.counts, one.use
    return {
        "organization_id": str(one.organization_id or ALL_ORGANIZATIONS),
        "age_s": one.age_s,
        **{name: getattr(counts, name) for name in _COUNTED},
        **({name: getattr(use, name) for name in _USED} if use else {}),
        "bins": list(counts.latencies),
        "bin_counts": list(counts.latencies.values()),
    }
