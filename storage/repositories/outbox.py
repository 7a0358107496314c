"""Work to do after a commit, written in the transaction of its cause."""

from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from storage.models import OutboxEntry

CHANNEL = "outbox"
WORKFLOW_START = "workflow_start"
WORKFLOW_SIGNAL = "workflow_signal"


class OutboxRepository:
    """Adds entries and wakes the relay when they are committed."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def start_workflow(
        self, entry_id: UUID, *, organization_id: UUID, topic: str, operation_id: UUID, payload: dict[str, Any]
    ) -> None:
        """Have an operation's workflow started, at least once."""
        await self._add(
            OutboxEntry(
                id=entry_id,
                organization_id=organization_id,
                kind=WORKFLOW_START,
                topic=topic,
                resource_id=operation_id,
                payload=payload,
            )
        )

    async def signal_workflow(
        self, entry_id: UUID, *, organization_id: UUID, topic: str, resource_id: UUID, payload: dict[str, Any]
    ) -> None:
        """Have a signal sent to a resource's workflow, at least once; `topic` is the signal's name."""
        await self._add(
            OutboxEntry(
                id=entry_id,
                organization_id=organization_id,
                kind=WORKFLOW_SIGNAL,
                topic=topic,
                resource_id=resource_id,
                payload=payload,
            )
        )

    async def _add(self, entry: OutboxEntry) -> None:
        self._session.add(entry)
        await self._session.flush()
        await self._session.execute(text("SELECT pg_notify(:channel, '')"), {"channel": CHANNEL})
