"""Writes workflows' progress into operations and deployments: newer overwrites older, a finished row stays."""

from datetime import timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import func, select, true, update
from sqlalchemy.ext.asyncio import AsyncSession

from domain.lifecycle import (
    DEPLOYMENT_TRANSITIONS,
    FINISHED_DEPLOYMENTS,
    FINISHED_OPERATIONS,
    DeploymentStatus,
    HealthStatus,
    OperationStatus,
)
from domain.timeline import Kind
from runtime.ids import now
from storage.models import Deployment, Environment, Operation, Release
from storage.repositories.build_records import BuildRecordRepository
from storage.repositories.outcomes import Cause, OutcomeRepository
from storage.repositories.timeline import TimelineRepository

FUTURE = timedelta(seconds=60)
"""Clocks of workers and of the database differ by less."""

ENDED_BADLY = frozenset({DeploymentStatus.FAILED, DeploymentStatus.ROLLED_BACK})


class ProjectionRepository:
    """Writes the rows that clients read."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session
        self._outcomes = OutcomeRepository(session)

    async def operation(self, operation_id: UUID, version: int, values: dict[str, Any]) -> bool:
        """Write an operation's progress unless the row is newer or finished; returns whether it was written.

        The end of the operation is an event.
        """
        statement = (
            update(Operation)
            .where(
                Operation.id == operation_id,
                Operation.version < version,
                Operation.status.not_in(FINISHED_OPERATIONS),
            )
            .values(version=version, updated_at=func.now(), **values)
            .returning(Operation)
        )
        row = await self._session.scalar(statement, execution_options={"populate_existing": True})
        if row is not None and row.status in FINISHED_OPERATIONS:
            await BuildRecordRepository(self._session).end_running(row)
            await self._outcomes.operation(row)
        return row is not None

    async def deployment(self, deployment_id: UUID, values: dict[str, Any], cause: Cause) -> None:
        """Write a workflow's progress into its deployment. An illegal transition (a late writer) is ignored.

        Events and audit entries of a transition are written in its transaction, once: on a retry there is no
        transition.
        """
        row = await self._session.scalar(select(Deployment).where(Deployment.id == deployment_id).with_for_update())
        if row is None:
            return
        before, after = DeploymentStatus(row.status), DeploymentStatus(values.pop("status", None) or row.status)
        if after != before:
            # The deciding process reports an end; missing records of intermediate states must not prevent it.
            ends = after in FINISHED_DEPLOYMENTS and before not in FINISHED_DEPLOYMENTS
            if not ends and after not in DEPLOYMENT_TRANSITIONS[before]:
                return
            row.status = after
            self._stamp(row, after)
        for name, value in values.items():
            setattr(row, name, value)
        if after in ENDED_BADLY:
            await self._complete(row, cause)
        if after != before:
            await self._outcomes.deployment(row, before, cause)
            moved = {"from": before, "to": after}
            key = f"{cause.version:020}-{cause.operation_id}"
            await TimelineRepository(self._session).note(row.id, Kind.STATUS, key, moved)

    async def _complete(self, row: Deployment, cause: Cause) -> None:
        """One that failed before its rollout began when its operation did; one that was never healthy is unhealthy."""
        if row.started_at is None:
            operation = await self._session.get_one(Operation, cause.operation_id)
            row.started_at = operation.started_at or operation.created_at
        if row.health_check_status is None:
            row.health_check_status = HealthStatus.UNHEALTHY

    @staticmethod
    def _stamp(row: Deployment, status: DeploymentStatus) -> None:
        moment: Any = func.now()
        if status is DeploymentStatus.IN_PROGRESS and row.started_at is None:
            row.started_at = moment
        if status in FINISHED_DEPLOYMENTS and row.completed_at is None:
            row.completed_at = moment
        if status is DeploymentStatus.ROLLED_BACK:
            row.rolled_back_at = moment

    async def unfinished(self, *, older_than_s: float, limit: int, after: UUID | None = None) -> list[Operation]:
        """Started operations without recent progress, by id, for the sweep that looks for lost ones.

        Args:
            older_than_s: seconds without progress.
            limit: maximum number.
            after: only those with a later id: the last one of the previous page.
        """
        statement = select(Operation).where(
            Operation.completed_at.is_(None),
            Operation.workflow_started_at.is_not(None),
            # A time in the future was written before the clock was set back.
            (Operation.updated_at < func.now() - func.make_interval(0, 0, 0, 0, 0, 0, older_than_s))
            | (Operation.updated_at > func.now() + FUTURE),
        )
        if after is not None:
            statement = statement.where(Operation.id > after)
        return list(await self._session.scalars(statement.order_by(Operation.id).limit(limit)))

    async def lost(self, operation_id: UUID, error: dict[str, Any], *, version: int | None = None) -> bool:
        """End an operation whose workflow is gone; its deployment fails with it unless it is finished or live.

        A deployment whose traffic and records were already rolled back, in one transaction, ends as rolled back.

        Args:
            operation_id: its id.
            error: its error.
            version: of the row when the sweep found it; None: any. An operation that has progressed since is not lost.

        Returns:
            Whether this call ended it.
        """
        as_found = Operation.version == version if version is not None else true()
        found = await self._session.scalar(
            update(Operation)
            .where(Operation.id == operation_id, Operation.status.not_in(FINISHED_OPERATIONS), as_found)
            .values(status=OperationStatus.FAILED, error=error, completed_at=func.now(), version=Operation.version + 1)
            .returning(Operation)
        )
        if found is not None:
            await BuildRecordRepository(self._session).end_running(found)
            await self._outcomes.operation(found)
            current = select(Environment.id).join(Release, Release.id == Environment.current_release_id)
            serves = await self._session.scalar(current.where(Release.deployment_id == found.resource_id))
            taken_back = await self._session.scalar(
                select(Deployment.rolled_back_to_build_id).where(Deployment.id == found.resource_id)
            )
            without = DeploymentStatus.ROLLED_BACK if taken_back else DeploymentStatus.FAILED
            status = DeploymentStatus.SUCCESS if serves else without
            values = {"status": status, "error": error, "next_open": None}
            await self.deployment(found.resource_id, values, Cause(found.id, found.version, now()))
        return found is not None
