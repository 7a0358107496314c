"""Which of many operations, environments and deliveries are still there for their workflows (all tenants)."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import and_, or_, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from domain.lifecycle import FINISHED_OPERATIONS, OperationStatus
from storage.models import Deployment, Environment, Operation, WebhookDelivery

# Where the record has what a workflow has begun. Since a run is kept nothing gets here without one.
UNDER_WAY = (OperationStatus.IN_PROGRESS, OperationStatus.CANCELLING)


@dataclass(frozen=True)
class Run:
    """The first run of an operation's workflow, None before it is known, and where the record has the operation."""

    run_id: UUID | None
    status: OperationStatus


class StandingRepository:
    """Each question is one statement, however many ids it has; callers ask for a page of them."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def open_workflows(self, ids: Collection[UUID]) -> set[str]:
        """Ids of the workflows of those operations that are there and not finished."""
        statement = select(Operation.workflow_id).where(
            Operation.id.in_(ids), Operation.status.not_in(FINISHED_OPERATIONS)
        )
        return set(await self._session.scalars(statement))

    async def workflow_id(self, operation_id: UUID) -> str | None:
        """Of an operation's workflow; None: there is no such operation."""
        return await self._session.scalar(select(Operation.workflow_id).where(Operation.id == operation_id))

    async def take_start(self, operation_id: UUID, first_run_id: UUID) -> dict[str, Any] | None:
        """What an operation was asked to do, for the one run that may do it; the same run may ask again.

        None: it is finished or not there, or another run has taken it.
        """
        statement = (
            update(Operation)
            .where(
                Operation.id == operation_id,
                Operation.status.not_in(FINISHED_OPERATIONS),
                or_(Operation.workflow_run_id.is_(None), Operation.workflow_run_id == first_run_id),
            )
            .values(workflow_run_id=first_run_id)
            .returning(Operation.input)
        )
        return await self._session.scalar(statement)

    async def run_of(self, operation_id: UUID, workflow_id: str) -> Run | None:
        """Which run carries an operation out; None: no such row, or its workflow has another id."""
        statement = select(Operation.workflow_run_id, Operation.status).where(
            Operation.id == operation_id, Operation.workflow_id == workflow_id
        )
        row = (await self._session.execute(statement)).first()
        return Run(row.workflow_run_id, OperationStatus(row.status)) if row is not None else None

    async def adopt(self, operation_id: UUID, run_id: UUID) -> bool:
        """Keep the run of an operation that was under way before runs were kept; False: it is none, or has another."""
        statement = (
            update(Operation)
            .where(
                Operation.id == operation_id,
                or_(
                    and_(Operation.workflow_run_id.is_(None), Operation.status.in_(UNDER_WAY)),
                    Operation.workflow_run_id == run_id,  # somebody else adopted it for the same run
                ),
            )
            .values(workflow_run_id=run_id)
            .returning(Operation.id)
        )
        return await self._session.scalar(statement) is not None

    async def order_of(self, operation_id: UUID) -> dict[str, Any]:
        """What an operation was asked to do, as it was accepted; nothing if there is no such row."""
        return await self._session.scalar(select(Operation.input).where(Operation.id == operation_id)) or {}

    async def is_open_in(self, environment_id: UUID, operation_id: UUID, workflow_id: str) -> bool:
        """Whether an operation is not finished, is of a deployment into this environment, and has this workflow."""
        statement = (
            select(Operation.id)
            .join(Deployment, Deployment.id == Operation.resource_id)
            .where(
                Operation.id == operation_id,
                Operation.workflow_id == workflow_id,
                Operation.status.not_in(FINISHED_OPERATIONS),
                Deployment.environment_id == environment_id,
            )
        )
        return await self._session.scalar(statement) is not None

    async def rolls_out(self, deployment_id: UUID) -> bool:
        """Whether an operation moves a deployment just now. Once it is taken back there is only clearing up to do."""
        statement = (
            select(Operation.id)
            .join(Deployment, Deployment.id == Operation.resource_id)
            .where(
                Deployment.id == deployment_id,
                Deployment.rolled_back_to_build_id.is_(None),
                Operation.status.not_in(FINISHED_OPERATIONS),
                Operation.completed_at.is_(None),  # the same, for the index
            )
        )
        return await self._session.scalar(statement.limit(1)) is not None

    async def environments(self, ids: Collection[UUID]) -> set[UUID]:
        """Those that are there."""
        return set(await self._session.scalars(select(Environment.id).where(Environment.id.in_(ids))))

    async def webhook_deliveries(self, ids: Collection[UUID]) -> set[UUID]:
        """Those that are there."""
        return set(await self._session.scalars(select(WebhookDelivery.id).where(WebhookDelivery.id.in_(ids))))
