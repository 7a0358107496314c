"""Which of many operations, environments and deliveries are still there for their workflows (all tenants)."""

from collections.abc import Collection
from uuid import UUID

from sqlalchemy import select
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

    async def environments(self, ids: Collection[UUID]) -> set[UUID]:
        """Those that are there."""
        return set(await self._session.scalars(select(Environment.id).where(Environment.id.in_(ids))))

    async def webhook_deliveries(self, ids: Collection[UUID]) -> set[UUID]:
        """Those that are there."""
        return set(await self._session.scalars(select(WebhookDelivery.id).where(WebhookDelivery.id.in_(ids))))
