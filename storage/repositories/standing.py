"""Which of many operations, environments and deliveries are still there for their workflows (all tenants)."""

from collections.abc import Collection
from typing import Any, Literal
from uuid import UUID

from sqlalchemy import or_, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from domain.lifecycle import FINISHED_OPERATIONS
from storage.models import Environment, Operation, WebhookDelivery


class StandingRepository:
    """Each question is one statement, however many ids it has; callers ask for a page of them."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def open_operations(self, ids: Collection[UUID]) -> set[UUID]:
        """Those that are there and not finished."""
        statement = select(Operation.id).where(Operation.id.in_(ids), Operation.status.not_in(FINISHED_OPERATIONS))
        return set(await self._session.scalars(statement))

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

    async def run_of(self, operation_id: UUID) -> UUID | Literal[False] | None:
        """The first run of an operation's workflow; None: it began before that was kept; False: no such row."""
        row = (
            await self._session.execute(select(Operation.workflow_run_id).where(Operation.id == operation_id))
        ).first()
        return row[0] if row is not None else False

    async def environments(self, ids: Collection[UUID]) -> set[UUID]:
        """Those that are there."""
        return set(await self._session.scalars(select(Environment.id).where(Environment.id.in_(ids))))

    async def webhook_deliveries(self, ids: Collection[UUID]) -> set[UUID]:
        """Those that are there."""
        return set(await self._session.scalars(select(WebhookDelivery.id).where(WebhookDelivery.id.in_(ids))))
