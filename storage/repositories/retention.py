"""Rows whose time is over, taken away in batches so that nobody waits for a sweep."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any, cast

from sqlalchemy import ColumnElement, CursorResult, Delete, delete, func, or_, select, tuple_, update
from sqlalchemy.ext.asyncio import AsyncSession

from storage.models import (
    ApiKey,
    Attempts,
    Client,
    Event,
    Grant,
    IdempotencyKey,
    Invitation,
    LoginSession,
    OutboxEntry,
    OutsidePerson,
    Revocation,
    WebhookDelivery,
    WebhookEndpoint,
)
from storage.repositories.webhooks import DELETED

# Everything that ends by itself at its `expires_at`; refresh tokens go with their grants.
PASSING: Mapping[str, tuple[Any, Any]] = {
    "grants": (Grant, Grant.id),
    "logins": (LoginSession, LoginSession.id),
    "attempts": (Attempts, Attempts.key),
    "revocations": (Revocation, Revocation.id),
}


def _made_something() -> ColumnElement[bool]:
    """Whether a key, a service account or an invitation names the subject of an outside person."""
    subject = OutsidePerson.subject
    made = (
        select(ApiKey.id).where(ApiKey.created_by == subject),
        select(Invitation.id).where(Invitation.invited_by == subject),
        select(Client.id).where(
            or_(
                Client.created_by == subject,
                Client.secret_by == subject,
                Client.secret_holders.contains(func.jsonb_build_array(subject)),
            )
        ),
    )
    return or_(*(each.exists() for each in made))


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

    async def outside_people(self, *, older_than: timedelta, limit: int) -> int:
        """Forget people of other issuers who were not seen for so long, and of whom nothing is here that they made.

        Those who are still needed are looked at again after as long. Returns how many were looked at.
        """
        row = OutsidePerson.subject, OutsidePerson.mailbox
        old = select(*row).where(OutsidePerson.seen_at < func.now() - older_than).order_by(OutsidePerson.seen_at)
        found = (await self._session.execute(old.limit(limit).with_for_update(skip_locked=True))).all()
        those = tuple_(*row).in_([tuple(each) for each in found])
        needed = update(OutsidePerson).where(those, _made_something()).values(seen_at=func.now())
        await self._session.execute(needed, execution_options={"synchronize_session": False})
        await self._count(delete(OutsidePerson).where(those, ~_made_something()))
        return len(found)

    async def deliveries_of_deleted(self, *, limit: int) -> int:
        """Delete deliveries to webhooks that were deleted, with their attempts; returns how many."""
        ids = (
            select(WebhookDelivery.id)
            .join(WebhookEndpoint, WebhookEndpoint.id == WebhookDelivery.endpoint_id)
            .where(WebhookEndpoint.status == DELETED)
            .limit(limit)
            .with_for_update(skip_locked=True, of=WebhookDelivery)
        )
        return await self._count(delete(WebhookDelivery).where(WebhookDelivery.id.in_(ids)))

    async def deleted_webhooks(self, *, limit: int) -> int:
        """Delete webhooks that were deleted and have no deliveries any more; returns how many."""
        deliveries = select(WebhookDelivery.id).where(WebhookDelivery.endpoint_id == WebhookEndpoint.id).exists()
        ids = (
            select(WebhookEndpoint.id)
            .where(WebhookEndpoint.status == DELETED, ~deliveries)
            .limit(limit)
            .with_for_update(skip_locked=True)
        )
        return await self._count(delete(WebhookEndpoint).where(WebhookEndpoint.id.in_(ids)))

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
