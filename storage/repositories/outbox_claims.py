"""The outbox for the relay: due rows, claimed by one worker at a time."""

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from datetime import timedelta
from uuid import UUID

from sqlalchemy import ColumnElement, func, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from storage.models import Operation, OutboxEntry

FIRST_RETRY = timedelta(seconds=1)
LAST_RETRY = timedelta(seconds=10)
# No delay is this long: a row due later than this was written before the clock was set back.
NEVER_SO_FAR = timedelta(seconds=60)
MAX_ERROR = 500


def is_due() -> ColumnElement[bool]:
    """Whether an entry is due, also after the clock was set back."""
    return (OutboxEntry.due_at <= func.now()) | (OutboxEntry.due_at > func.now() + NEVER_SO_FAR)


class OutboxClaims:
    """Claims last as long as the transaction; `SKIP LOCKED` lets several workers share the rows."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def due(self, *, kinds: Sequence[str], limit: int) -> Sequence[OutboxEntry]:
        """Due rows that no other worker holds: those that never failed first, then the oldest.

        Round-robin among organizations: a thousand rows of one do not delay the others.
        """
        has_failed, age = OutboxEntry.attempts > 0, (OutboxEntry.due_at, OutboxEntry.id)
        turn = func.row_number().over(partition_by=(has_failed, OutboxEntry.organization_id), order_by=age)
        ranked = (
            select(OutboxEntry.id, turn.label("turn"))
            .where(OutboxEntry.done_at.is_(None), is_due(), OutboxEntry.kind.in_(kinds))
            .subquery()
        )
        found = await self._session.scalars(
            select(OutboxEntry)
            .join(ranked, ranked.c.id == OutboxEntry.id)
            .where(OutboxEntry.done_at.is_(None))
            .order_by(has_failed, ranked.c.turn, *age)
            .limit(limit)
            .with_for_update(of=OutboxEntry, skip_locked=True)
        )
        return found.all()

    async def done(self, entry_id: UUID) -> None:
        """It is done."""
        await self._session.execute(
            update(OutboxEntry).where(OutboxEntry.id == entry_id).values(done_at=func.now(), last_error=None)
        )

    def alone(self) -> AbstractAsyncContextManager[object]:
        """A savepoint: changes inside are rolled back on their own, and the claims stay."""
        return self._session.begin_nested()

    async def later(self, entry: OutboxEntry, error: str, *, longest: timedelta = LAST_RETRY) -> None:
        """It failed; retry with backoff."""
        pause = min(longest, FIRST_RETRY * 2 ** min(entry.attempts, 10))
        await self._session.execute(
            update(OutboxEntry)
            .where(OutboxEntry.id == entry.id)
            .values(
                attempts=OutboxEntry.attempts + 1,
                due_at=func.now() + pause,
                last_error=error.replace("\0", "")[:MAX_ERROR],
            )
        )

    async def started(self, operation_id: UUID) -> None:
        """The operation's workflow exists; from now on its absence means that it was lost."""
        await self._session.execute(
            update(Operation)
            .where(Operation.id == operation_id, Operation.workflow_started_at.is_(None))
            .values(workflow_started_at=func.now())
        )
