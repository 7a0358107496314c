"""Events, written in the transaction of the change they tell of."""

from sqlalchemy import func
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from storage.models import Event
from storage.models.base import given

CHANNEL = "events"


class EventRepository:
    """Adds events and wakes the relay when they are committed."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def add(self, event: Event) -> None:
        """Write an event, unless one with its id stands already (an activity was tried again).

        It stands if and only if the transaction does. The resource's row is locked by the caller.
        """
        statement = insert(Event).values(given(event))
        # Notified by the row that is written: one way to the database instead of two.
        await self._session.execute(
            statement.on_conflict_do_nothing(index_elements=["id"]).returning(func.pg_notify(CHANNEL, ""))
        )
