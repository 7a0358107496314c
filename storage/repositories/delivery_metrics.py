"""The SQL behind the DORA metrics: it reads only rows of one organization's range, by index."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import (
    CTE,
    ColumnElement,
    Double,
    FromClause,
    RowMapping,
    Select,
    and_,
    cast,
    exists,
    func,
    select,
    true,
    tuple_,
)
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import aliased

from domain.delivery_metrics import Changes, DeliveryMetrics, Distribution, Waits
from domain.lifecycle import DeploymentStatus
from storage.models import Build, Deployment, Operation

TAKEN_BACK = (DeploymentStatus.ROLLING_BACK, DeploymentStatus.ROLLED_BACK)


@dataclass(frozen=True)
class MetricsScope:
    """The deployments to count: of an organization, in `[since, until)`; of one project or environment."""

    organization_id: UUID
    since: datetime
    until: datetime
    project_id: UUID | None = None
    environment: str | None = None

    def holds(self, moment: Any) -> ColumnElement[bool]:
        """Whether a deployment is in the scope; `moment`: the column that must be in the range."""
        wanted = [Deployment.organization_id == self.organization_id, moment >= self.since, moment < self.until]
        if self.project_id is not None:
            wanted.append(Deployment.project_id == self.project_id)
        if self.environment is not None:
            wanted.append(Deployment.environment == self.environment)
        return and_(*wanted)


class DeliveryMetricsRepository:
    """Four statements, each over the rows of a scope."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def of(self, scope: MetricsScope) -> DeliveryMetrics:
        """All metrics of a scope."""
        live = await self._one(_live(scope))
        never_live = await self._one(_taken_back_before_live(scope))
        restored = await self._one(_restored(scope))
        waits = await self._one(_waits(scope))
        return DeliveryMetrics(
            changes=Changes(
                live=live["live"],
                days_with_one=live["days"],
                taken_back_after=live["taken_back"],
                taken_back_before=never_live["found"],
            ),
            lead_time=_distribution(live, "lead"),
            restore=_distribution(restored, "restore"),
            waits=Waits(*(_distribution(waits, name) for name in ("total", "people", "others", "machine"))),
        )

    async def _one(self, statement: Select[Any]) -> RowMapping:
        found: RowMapping = (await self._session.execute(statement)).mappings().one()
        return found


def _live(scope: MetricsScope) -> Select[Any]:
    """Deployments that went live: number, days (UTC) with one, number rolled back later, lead times.

    A commit counts once per environment: going live again delivers nothing new. A commit dated after it went live has a
    wrong clock, and no lead time.
    """
    earlier = aliased(Deployment)
    before = exists().where(
        earlier.environment_id == Deployment.environment_id,
        earlier.git_commit_hash == Deployment.git_commit_hash,
        earlier.live_at.is_not(None),
        tuple_(earlier.live_at, earlier.id) < tuple_(Deployment.live_at, Deployment.id),
    )
    rows = _once_each(
        select(
            Deployment.live_at,
            Deployment.status.in_(TAKEN_BACK).label("taken_back"),
            _seconds(Build.committed_at, Deployment.live_at).label("lead"),
            and_(Build.committed_at <= Deployment.live_at, ~before).label("counts"),
        )
        .join(Build, Build.id == Deployment.build_id, isouter=True)
        .where(scope.holds(Deployment.live_at))
    )
    return select(
        func.count().label("live"),
        func.count(func.distinct(func.date_trunc("day", func.timezone("UTC", rows.c.live_at)))).label("days"),
        func.count().filter(rows.c.taken_back).label("taken_back"),
        *_statistics(rows.c.lead, "lead", rows.c.counts),
    ).select_from(rows)


def _taken_back_before_live(scope: MetricsScope) -> Select[Any]:
    """Rollouts that had traffic and were rolled back before they became the stable version."""
    return select(func.count().label("found")).where(
        scope.holds(Deployment.rolled_back_at),
        Deployment.live_at.is_(None),
        Deployment.status == DeploymentStatus.ROLLED_BACK,
    )


def _restored(scope: MetricsScope) -> Select[Any]:
    """The time from when a bad version began to serve until it was rolled back."""
    began = func.coalesce(Deployment.live_at, Deployment.started_at)
    rows = _once_each(
        select(_seconds(began, Deployment.rolled_back_at).label("restore")).where(
            scope.holds(Deployment.rolled_back_at), Deployment.status == DeploymentStatus.ROLLED_BACK
        )
    )
    return select(*_statistics(rows.c.restore, "restore", rows.c.restore >= 0)).select_from(rows)


def _waits(scope: MetricsScope) -> Select[Any]:
    """For deployments that went live: the time from request to live, and the waiting in it, by reason."""
    steps = _sums_of_steps(waited="waited_seconds", people="people_seconds")
    rows = _once_each(
        select(
            _seconds(Operation.created_at, Deployment.live_at).label("total"),
            func.coalesce(steps.c.waited, 0.0).label("waited"),
            steps.c.people,
        )
        .join(Operation, Operation.id == Deployment.operation_id)
        .join(steps, true())
        .where(scope.holds(Deployment.live_at))
    )
    known = and_(rows.c.people.is_not(None), rows.c.total >= 0)
    # Waits may continue after that moment, and are measured by another clock: no part may exceed the whole.
    people = func.least(rows.c.people, rows.c.total)
    waited = func.least(func.greatest(rows.c.waited, people), rows.c.total)
    parts: Mapping[str, ColumnElement[Any]] = {
        "total": rows.c.total,
        "people": people,
        "others": waited - people,
        "machine": rows.c.total - waited,
    }
    columns = [column for name, value in parts.items() for column in _statistics(value, name, known)]
    return select(*columns).select_from(rows)


def _once_each(rows: Select[Any]) -> CTE:
    """Rows whose columns are computed once. PostgreSQL would put a subquery's columns wherever they are used."""
    return rows.cte("rows").prefix_with("MATERIALIZED")


def _sums_of_steps(**fields: str) -> FromClause:
    """Of each operation: the sums of some fields of its steps; null where no step has the field."""
    step = func.jsonb_array_elements(Operation.steps).table_valued("value", name="step")
    sums = [func.sum(cast(step.c.value.op("->>")(field), Double)).label(name) for name, field in fields.items()]
    return select(*sums).select_from(step).correlate(Operation).lateral("steps")


def _seconds(begin: Any, end: Any) -> ColumnElement[Any]:
    return cast(func.extract("epoch", end - begin), Double)


def _statistics(value: ColumnElement[Any], name: str, counts: ColumnElement[bool]) -> list[ColumnElement[Any]]:
    """Their number, mean, median and 90th percentile; null if there are none."""
    there = and_(counts, value.is_not(None))
    return [
        func.count().filter(there).label(f"{name}_measured"),
        func.avg(value).filter(there).label(f"{name}_mean"),
        *(
            func.percentile_cont(share).within_group(value).filter(there).label(f"{name}_{label}")
            for share, label in ((0.5, "median"), (0.9, "p90"))
        ),
    ]


def _distribution(found: RowMapping, name: str) -> Distribution:
    return Distribution(
        measured=found[f"{name}_measured"],
        mean=found[f"{name}_mean"],
        median=found[f"{name}_median"],
        p90=found[f"{name}_p90"],
    )
