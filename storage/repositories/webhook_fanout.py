"""From events to deliveries: one a matching endpoint."""

from typing import Any

from sqlalchemy import Select, func, insert, literal, or_, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from domain.webhooks import DeliveryStatus, EndpointStatus, Trigger, WebhookEvent
from runtime.ids import new_id
from storage.models import Event, WebhookDelivery, WebhookEndpoint

# "webhooks" in ASCII: one fan-out at a time, or a later event of a resource could get its delivery before an earlier.
_LOCK = int.from_bytes(b"webhooks", "big") >> 1


class WebhookFanOut:
    """Across all tenants, for the relay."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def fan_out(self, *, limit: int) -> int:
        """Make the deliveries of the next events, in the order of their sequence.

        Both the deliveries and the mark on the event stand with the transaction, or neither does.

        Returns:
            How many events; 0 also when another worker is at it.
        """
        if not await self._session.scalar(select(func.pg_try_advisory_xact_lock(_LOCK))):
            return 0
        waiting = select(Event.id).where(Event.fanned_out_at.is_(None)).order_by(Event.sequence).limit(limit)
        ids = (await self._session.scalars(waiting)).all()
        if ids:
            # Locked, so that whoever deletes an endpoint comes before this or after it, and not between.
            asking = wanted(Trigger.EVENT).with_for_update(read=True, key_share=True, of=WebhookEndpoint)
            found = await self._session.execute(asking.where(Event.id.in_(ids)))
            rows = [dict(row) for row in found.mappings()]
            if rows:
                await self._session.execute(insert(WebhookDelivery), [{"id": new_id(), **row} for row in rows])
            await self._session.execute(update(Event).where(Event.id.in_(ids)).values(fanned_out_at=func.now()))
        return len(ids)


def wanted(trigger: Trigger) -> Select[*tuple[Any, ...]]:
    """The values of a delivery for every pair of an event and an enabled endpoint that asks for such events."""
    is_asked_for = or_(
        WebhookEndpoint.events.contains([WebhookEvent.ANY]),
        WebhookEndpoint.events.contains(func.jsonb_build_array(Event.type)),
    )
    return (
        select(
            Event.organization_id,
            WebhookEndpoint.id.label("endpoint_id"),
            Event.id.label("event_id"),
            Event.type.label("event"),
            Event.resource_id,
            Event.sequence,
            literal(trigger.value).label("trigger"),
            literal(value=True).label("ordered"),
            literal(DeliveryStatus.PENDING.value).label("status"),
            literal(0).label("attempts"),
            func.now().label("next_attempt_at"),
        )
        .join(WebhookEndpoint, WebhookEndpoint.organization_id == Event.organization_id)
        .where(
            WebhookEndpoint.status == EndpointStatus.ENABLED,
            is_asked_for,
            or_(WebhookEndpoint.project_id.is_(None), WebhookEndpoint.project_id == Event.project_id),
        )
        .order_by(Event.sequence, WebhookEndpoint.id)
    )
