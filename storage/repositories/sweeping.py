"""Rows whose time is over, taken away in batches so that nobody waits for a sweep."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any, cast

from sqlalchemy import CursorResult, Delete, delete, func, select, tuple_
from sqlalchemy.ext.asyncio import AsyncSession

from storage.models import Attempts, Event, Grant, IdempotencyKey, LoginSession, OutboxEntry, Revocation

# Everything that ends by itself at its `expires_at`; refresh tokens go with their grants.
PASSING: Mapping[str, tuple[Any, Any]] = {
    "grants": (Grant, Grant.id),
    "logins": (LoginSession, LoginSession.id),
    "attempts": (Attempts, Attempts.key),
    "revocations": (Revocation, Revocation.id),
}


class SweepingRepository:
    """Deletes of all tenants. Rows that somebody holds are left for the next sweep."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def expired_keys(self, *, limit: int) -> int:
        """Delete idempotency keys that have expired; returns how many."""
        keys = (
            select(IdempotencyKey.principal, IdempotencyKey.key)
            .where(IdempotencyKey.expires_at < func.now())
            .order_by(IdempotencyKey.expires_at)
            .limit(limit)
            .with_for_update(skip_locked=True)
        )
        return await self._count(
            delete(IdempotencyKey).where(tuple_(IdempotencyKey.principal, IdempotencyKey.key).in_(keys))
        )

    async def done_outbox(self, *, older_than: timedelta, limit: int) -> int:
        """Delete outbox entries that were done so long ago; returns how many."""
        ids = (
            select(OutboxEntry.id)
            .where(OutboxEntry.done_at < func.now() - older_than)
            .order_by(OutboxEntry.done_at)
            .limit(limit)
            .with_for_update(skip_locked=True)
        )
        return await self._count(delete(OutboxEntry).where(OutboxEntry.id.in_(ids)))

    async def passed(self, name: str, *, limit: int) -> int:
        """Delete what has ended by itself, of one of the tables in `PASSING`; returns how many."""
        model, key = PASSING[name]
        over = select(key).where(model.expires_at < func.now()).order_by(model.expires_at).limit(limit)
        return await self._count(delete(model).where(key.in_(over.with_for_update(skip_locked=True))))

    async def old_events(self, *, older_than: timedelta, limit: int) -> int:
        """Delete events that happened so long ago, with their deliveries and attempts; returns how many."""
        ids = (
            select(Event.id)
            .where(Event.occurred_at < func.now() - older_than, Event.fanned_out_at.is_not(None))
            .order_by(Event.occurred_at)
            .limit(limit)
            .with_for_update(skip_locked=True)
        )
        return await self._count(delete(Event).where(Event.id.in_(ids)))

    async def _count(self, statement: Delete) -> int:
        done = await self._session.execute(statement, execution_options={"synchronize_session": False})
        return cast("CursorResult[Any]", done).rowcount
