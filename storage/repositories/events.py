"""Events, written in the transaction of their cause."""

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
        """Write an event, unless one with its id exists (an activity was retried).

        It exists if and only if the transaction commits. The caller has locked the resource's row.
        """
        statement = insert(Event).values(given(event))
        # The insert itself notifies, which saves a round trip.
        await self._session.execute(
            statement.on_conflict_do_nothing(index_elements=["id"]).returning(func.pg_notify(CHANNEL, ""))
        )
