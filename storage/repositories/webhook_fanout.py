"""Creates deliveries from events: one per matching endpoint."""

from collections.abc import Mapping, Sequence
from typing import Any

import structlog
from sqlalchemy import Select, func, insert, literal, or_, select, update
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.ext.asyncio import AsyncSession

from domain.webhooks import DeliveryStatus, EndpointStatus, Trigger, WebhookEvent
from runtime.ids import new_id
from storage.models import Event, WebhookDelivery, WebhookEndpoint

log = structlog.get_logger(__name__)

# "webhooks" in ASCII: one fan-out at a time, or a resource's later event could get its delivery before an earlier one.
_LOCK = int.from_bytes(b"webhooks", "big") >> 1


class WebhookFanOut:
    """Across all tenants, for the relay."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def fan_out(self, *, limit: int) -> int:
        """Create the deliveries of the next events, in the order of their sequence.

        The deliveries and the mark on the event are committed together.

        Returns:
            Number of events; also 0 if another worker is doing this.
        """
        if not await self._session.scalar(select(func.pg_try_advisory_xact_lock(_LOCK))):
            return 0
        waiting = select(Event.id).where(Event.fanned_out_at.is_(None)).order_by(Event.sequence).limit(limit)
        ids = (await self._session.scalars(waiting)).all()
        if ids:
            # Locked, so that deleting an endpoint comes before or after this, and not in between.
            asking = wanted(Trigger.EVENT).with_for_update(read=True, key_share=True, of=WebhookEndpoint)
            found = await self._session.execute(asking.where(Event.id.in_(ids)))
            await self._insert([{"id": new_id(), **row} for row in found.mappings()])
            await self._session.execute(update(Event).where(Event.id.in_(ids)).values(fanned_out_at=func.now()))
        return len(ids)

    async def _insert(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """All at once, and by halves if the database refuses: one bad row must not block everybody's events."""
        if not rows:
            return
        try:
            async with self._session.begin_nested():
                await self._session.execute(insert(WebhookDelivery), rows)
        except DBAPIError as error:
            if isinstance(error, OperationalError | InterfaceError) or error.connection_invalidated:
                raise  # the database is down or too slow: that is no row's fault
            if len(rows) == 1:
                ids = {name: str(rows[0][name]) for name in ("event_id", "endpoint_id")}
                log.exception("webhooks.delivery_not_made", **ids)
                return
            middle = len(rows) // 2
            await self._insert(rows[:middle])
            await self._insert(rows[middle:])


def wanted(trigger: Trigger) -> Select[*tuple[Any, ...]]:
    """The values of a delivery for every pair of an event and an enabled endpoint that subscribes to it."""
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
