"""Events, written in the transaction of the change they tell of."""

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from storage.models import Event

CHANNEL = "events"


class EventRepository:
    """Adds events and wakes the relay when they are committed."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def add(self, event: Event) -> None:
        """Write an event; it stands if and only if the transaction does. The resource's row is locked by the caller."""
        self._session.add(event)
        await self._session.flush()
        await self._session.execute(text("SELECT pg_notify(:channel, '')"), {"channel": CHANNEL})
