"""Metrics for readers: of one organization, or of all together."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Row, case, func, null, select, text
from sqlalchemy.ext.asyncio import AsyncSession

from domain.metric_counts import SUMS, Counts
from storage.models import MetricIncrement, MetricRollup
from storage.models.metrics import ALL_ORGANIZATIONS
from storage.repositories.metric_increments import sum_of
from storage.tenancy import Tenant

_SKETCH = """
SELECT bin, sum(bin_count)::bigint
FROM metric_rollups, unnest(bins, bin_counts) AS each(bin, bin_count)
WHERE organization_id = :organization_id AND step_s = :step_s AND beginning BETWEEN :since AND :until
GROUP BY bin
"""


@dataclass(frozen=True)
class Step:
    """One step: its sums, and its percentiles or its sketch."""

    counts: Counts
    percentiles: Sequence[float | None] | None


class MetricsRepository:
    """Of one organization; for the platform, of all together."""

    def __init__(self, session: AsyncSession, tenant: Tenant) -> None:
        self._session = session
        self._organization_id = tenant.organization_id or ALL_ORGANIZATIONS

    async def now(self) -> datetime:
        """The database's clock. From now on this transaction reads one snapshot."""
        await self._session.connection(execution_options={"isolation_level": "REPEATABLE READ"})
        return (await self._session.execute(select(func.now()))).scalar_one()

    async def increments(self, since: datetime, until: datetime) -> dict[datetime, Counts]:
        """Increments that are not rolled up yet, by minute."""
        rows = MetricIncrement.__table__.columns
        statement = select(*rows).where(
            MetricIncrement.organization_id == self._organization_id, MetricIncrement.minute.between(since, until)
        )
        found: dict[datetime, list[Row[Any]]] = {}
        for row in await self._session.execute(statement):
            found.setdefault(row.minute, []).append(row)
        return {minute: sum_of(each) for minute, each in found.items()}

    async def total(self, step: timedelta, since: datetime, until: datetime) -> Counts:
        """The sum of the steps of a length that begin in this range."""
        sums = [func.coalesce(func.sum(getattr(MetricRollup, name)), 0).label(name) for name in SUMS]
        found = (await self._session.execute(select(*sums).where(*self._steps(step, since, until)))).one()
        span = {"since": since, "until": until, "step_s": step.total_seconds()}
        sketch = await self._session.execute(text(_SKETCH), {**span, "organization_id": self._organization_id})
        return Counts(**_sums(found), latencies={row[0]: row[1] for row in sketch})

    async def steps(
        self, step: timedelta, since: datetime, until: datetime, *, fresh: datetime
    ) -> dict[datetime, Step]:
        """The steps of a length that begin in this range, by beginning; from `fresh` on with their sketches."""
        columns = MetricRollup.__table__.columns
        plain = [columns[name] for name in ("beginning", *SUMS, "p50_ms", "p95_ms", "p99_ms")]
        sketch = [
            case((columns.beginning >= fresh, columns[name]), else_=null()).label(name)
            for name in ("bins", "bin_counts")
        ]
        statement = select(*plain, *sketch).where(*self._steps(step, since, until))
        return {row.beginning: _step(row) for row in await self._session.execute(statement)}

    def _steps(self, step: timedelta, since: datetime, until: datetime) -> Sequence[Any]:
        return (
            MetricRollup.organization_id == self._organization_id,
            MetricRollup.step_s == int(step.total_seconds()),
            MetricRollup.beginning.between(since, until),
        )


def _sums(row: Any) -> dict[str, Any]:
    """Sums of integers are returned as decimals."""
    kinds = {name: type(getattr(Counts, name)) for name in SUMS}
    return {name: kind(getattr(row, name)) for name, kind in kinds.items()}


def _step(row: Row[Any]) -> Step:
    if row.bins is None:
        return Step(Counts(**_sums(row)), (row.p50_ms, row.p95_ms, row.p99_ms))
    sketch = dict(zip(row.bins, row.bin_counts, strict=True))
    return Step(Counts(**_sums(row), latencies=sketch), None)
