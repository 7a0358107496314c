"""Deletes expired rows in small batches, so that no other statement waits long."""

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

# Tables whose rows end at `expires_at`; refresh tokens are deleted with their grants.
PASSING: Mapping[str, tuple[Any, Any]] = {
    "grants": (Grant, Grant.id),
    "logins": (LoginSession, LoginSession.id),
    "attempts": (Attempts, Attempts.key),
    "revocations": (Revocation, Revocation.id),
}


def _made_something() -> ColumnElement[bool]:
    """Whether a key, a service account or an invitation names the subject of an external person."""
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
    """Deletes for all tenants. Locked rows are left to the next sweep."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def expired_keys(self, *, limit: int) -> int:
        """Delete expired idempotency keys; returns their number."""
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
        """Delete outbox entries that were done that long ago; returns their number."""
        ids = (
            select(OutboxEntry.id)
            .where(OutboxEntry.done_at < func.now() - older_than)
            .order_by(OutboxEntry.done_at)
            .limit(limit)
            .with_for_update(skip_locked=True)
        )
        return await self._count(delete(OutboxEntry).where(OutboxEntry.id.in_(ids)))

    async def passed(self, name: str, *, limit: int) -> int:
        """Delete expired rows of one of the tables in `PASSING`; returns their number."""
        model, key = PASSING[name]
        over = select(key).where(model.expires_at < func.now()).order_by(model.expires_at).limit(limit)
        return await self._count(delete(model).where(key.in_(over.with_for_update(skip_locked=True))))

    async def outside_people(self, *, older_than: timedelta, limit: int) -> int:
        """Delete people of other issuers who were not seen for that long and own nothing that still exists here.

        Those still needed are checked again after the same time. Returns the number checked.
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
        """Delete deliveries to deleted webhooks, with their attempts; returns their number."""
        ids = (
            select(WebhookDelivery.id)
            .join(WebhookEndpoint, WebhookEndpoint.id == WebhookDelivery.endpoint_id)
            .where(WebhookEndpoint.status == DELETED)
            .limit(limit)
            .with_for_update(skip_locked=True, of=WebhookDelivery)
        )
        return await self._count(delete(WebhookDelivery).where(WebhookDelivery.id.in_(ids)))

    async def deleted_webhooks(self, *, limit: int) -> int:
        """Delete webhooks marked as deleted that have no deliveries any more; returns their number."""
        deliveries = select(WebhookDelivery.id).where(WebhookDelivery.endpoint_id == WebhookEndpoint.id).exists()
        ids = (
            select(WebhookEndpoint.id)
            .where(WebhookEndpoint.status == DELETED, ~deliveries)
            .limit(limit)
            .with_for_update(skip_locked=True)
        )
        return await self._count(delete(WebhookEndpoint).where(WebhookEndpoint.id.in_(ids)))

    async def old_events(self, *, older_than: timedelta, limit: int) -> int:
        """Delete events that happened that long ago, with their deliveries and attempts; returns their number."""
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
