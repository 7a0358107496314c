"""Which operations, environments and deliveries still exist, for their workflows (all tenants)."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import and_, or_, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from domain.lifecycle import FINISHED_OPERATIONS, OperationStatus
from storage.models import Deployment, Environment, Operation, WebhookDelivery

# States in which a workflow has begun. Since runs are recorded, no operation gets here without one.
UNDER_WAY = (OperationStatus.IN_PROGRESS, OperationStatus.CANCELLING)


@dataclass(frozen=True)
class Run:
    """The first run of an operation's workflow (None before it is known), and the operation's recorded status."""

    run_id: UUID | None
    status: OperationStatus


class StandingRepository:
    """Each question is one statement for any number of ids; callers pass a page of them."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def open_workflows(self, ids: Collection[UUID]) -> set[str]:
        """Ids of the workflows of those operations that exist and are not finished."""
        statement = select(Operation.workflow_id).where(
            Operation.id.in_(ids), Operation.status.not_in(FINISHED_OPERATIONS)
        )
        return set(await self._session.scalars(statement))

    async def workflow_id(self, operation_id: UUID) -> str | None:
        """The workflow id of an operation; None: there is no such operation."""
        return await self._session.scalar(select(Operation.workflow_id).where(Operation.id == operation_id))

    async def take_start(self, operation_id: UUID, first_run_id: UUID) -> dict[str, Any] | None:
        """The input of an operation, for its one permitted run; the same run may ask again.

        None: it is finished or does not exist, or belongs to another run.
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
        """The recorded run of an operation; None: no such row, or its workflow has another id."""
        statement = select(Operation.workflow_run_id, Operation.status).where(
            Operation.id == operation_id, Operation.workflow_id == workflow_id
        )
        row = (await self._session.execute(statement)).first()
        return Run(row.workflow_run_id, OperationStatus(row.status)) if row is not None else None

    async def adopt(self, operation_id: UUID, run_id: UUID) -> bool:
        """Record the run of an operation started before runs were recorded; False: not running, or has another run."""
        statement = (
            update(Operation)
            .where(
                Operation.id == operation_id,
                or_(
                    and_(Operation.workflow_run_id.is_(None), Operation.status.in_(UNDER_WAY)),
                    Operation.workflow_run_id == run_id,  # adopted already for the same run
                ),
            )
            .values(workflow_run_id=run_id)
            .returning(Operation.id)
        )
        return await self._session.scalar(statement) is not None

    async def order_of(self, operation_id: UUID) -> dict[str, Any]:
        """The accepted input of an operation; empty if there is no such row."""
        return await self._session.scalar(select(Operation.input).where(Operation.id == operation_id)) or {}

    async def is_open_in(self, environment_id: UUID, operation_id: UUID, workflow_id: str) -> bool:
        """Whether an operation is unfinished, belongs to a deployment into this environment, and has this workflow."""
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
        """Whether an operation is rolling out a deployment now. After its rollback only cleanup is left."""
        statement = (
            select(Operation.id)
            .join(Deployment, Deployment.id == Operation.resource_id)
            .where(
                Deployment.id == deployment_id,
                Deployment.rolled_back_to_build_id.is_(None),
                Operation.status.not_in(FINISHED_OPERATIONS),
                Operation.completed_at.is_(None),  # redundant, for the index
            )
        )
        return await self._session.scalar(statement.limit(1)) is not None

    async def environments(self, ids: Collection[UUID]) -> set[UUID]:
        """Those that exist."""
        return set(await self._session.scalars(select(Environment.id).where(Environment.id.in_(ids))))

    async def webhook_deliveries(self, ids: Collection[UUID]) -> set[UUID]:
        """Those that exist."""
        return set(await self._session.scalars(select(WebhookDelivery.id).where(WebhookDelivery.id.in_(ids))))
