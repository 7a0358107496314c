"""Webhooks and their deliveries, for the API."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Select, func, insert, select, text

from domain.errors import NotFoundError
from domain.webhooks import PING, UNFINISHED, DeliveryStatus, Trigger
from runtime.ids import new_id
from storage.models import Event, WebhookAttempt, WebhookDelivery, WebhookEndpoint
from storage.repositories.base import Page, PageRequest, Repository
from storage.repositories.events import CHANNEL
from storage.repositories.webhook_fanout import wanted

# The status of a deleted endpoint, which no API shows: a sweep deletes its deliveries, then the endpoint.
DELETED = "deleted"


class WebhookRepository(Repository[WebhookEndpoint]):
    """Endpoints of organizations."""

    model = WebhookEndpoint
    noun = "webhook"

    def base(self) -> Select[WebhookEndpoint]:
        """Without deleted ones."""
        return super().base().where(WebhookEndpoint.status != DELETED)

    async def of(self, organization_id: UUID, row_id: UUID, *, lock: bool = False) -> WebhookEndpoint:
        """One webhook of an organization; raises `NotFoundError` if it does not exist."""
        row = await self.get(row_id, lock=lock)
        if row.organization_id != organization_id:
            raise NotFoundError(f"webhook {row_id} does not exist")
        return row

    async def search(self, organization_id: UUID, *, status: str | None, request: PageRequest) -> Page[WebhookEndpoint]:
        """Webhooks of an organization."""
        statement = self.base().where(WebhookEndpoint.organization_id == organization_id)
        if status is not None:
            statement = statement.where(WebhookEndpoint.status == status)
        return await self.page(statement, request)

    async def count(self, organization_id: UUID) -> int:
        """Number of an organization's webhooks."""
        statement = self.base().where(WebhookEndpoint.organization_id == organization_id)
        return await self.session.scalar(select(func.count()).select_from(statement.subquery())) or 0


class WebhookDeliveryRepository(Repository[WebhookDelivery]):
    """Deliveries to endpoints."""

    model = WebhookDelivery
    noun = "delivery"

    async def of(self, endpoint_id: UUID, row_id: UUID) -> WebhookDelivery:
        """One delivery to an endpoint; raises `NotFoundError` if it does not exist."""
        row = await self.get(row_id)
        if row.endpoint_id != endpoint_id:
            raise NotFoundError(f"delivery {row_id} does not exist")
        return row

    async def search(
        self, endpoint_id: UUID, *, status: str | None, event: str | None, request: PageRequest
    ) -> Page[WebhookDelivery]:
        """Deliveries to an endpoint, by status and name of the event."""
        statement = self.base().where(WebhookDelivery.endpoint_id == endpoint_id)
        if status is not None:
            statement = statement.where(WebhookDelivery.status == status)
        if event is not None:
            statement = statement.where(WebhookDelivery.event == event)
        return await self.page(statement, request)

    async def attempts(self, delivery: WebhookDelivery) -> Sequence[WebhookAttempt]:
        """The attempts of a delivery, oldest first."""
        statement = select(WebhookAttempt).where(WebhookAttempt.delivery_id == delivery.id)
        return (await self.session.scalars(statement.order_by(WebhookAttempt.number))).all()

    async def event_of(self, delivery: WebhookDelivery) -> Event:
        """The event of a delivery."""
        return await self.session.get_one(Event, delivery.event_id)

    async def asked_for(self, organization_id: UUID) -> int:
        """Number of an organization's requested deliveries that are not finished."""
        gone = select(WebhookEndpoint.id).where(
            WebhookEndpoint.organization_id == organization_id, WebhookEndpoint.status == DELETED
        )
        found = self.base().where(
            WebhookDelivery.organization_id == organization_id,
            WebhookDelivery.status.in_(UNFINISHED),
            WebhookDelivery.trigger != Trigger.EVENT,
            WebhookDelivery.endpoint_id.not_in(gone),
        )
        return await self.session.scalar(select(func.count()).select_from(found.subquery())) or 0

    async def send(self, delivery: WebhookDelivery) -> WebhookDelivery:
        """Have a delivery sent as soon as this is committed."""
        await self.add(delivery)
        await self._wake()
        return delivery

    async def replay(
        self, endpoint: WebhookEndpoint, since: datetime, until: datetime | None, *, limit: int
    ) -> int | None:
        """Deliver again the events since a moment, in order, without those still being delivered.

        Returns:
            Number of events; None if there are more than `limit`, and then none is delivered.
        """
        statement = _replayed(endpoint, since, until).limit(limit + 1)
        rows = [dict(row) for row in (await self.session.execute(statement)).mappings()]
        if len(rows) > limit:
            return None
        if rows:
            await self.session.execute(insert(WebhookDelivery), [{"id": new_id(), **row} for row in rows])
            await self._wake()
        return len(rows)

    async def _wake(self) -> None:
        await self.session.execute(text("SELECT pg_notify(:channel, '')"), {"channel": CHANNEL})


def _replayed(endpoint: WebhookEndpoint, since: datetime, until: datetime | None) -> Select[*tuple[Any, ...]]:
    under_way = (
        select(WebhookDelivery.id)
        .where(
            WebhookDelivery.event_id == Event.id,
            WebhookDelivery.endpoint_id == endpoint.id,
            WebhookDelivery.status.in_(UNFINISHED),
        )
        .exists()
    )
    statement = wanted(Trigger.REPLAY).where(
        WebhookEndpoint.id == endpoint.id,
        Event.organization_id == endpoint.organization_id,
        Event.occurred_at >= since,
        # Pings are for one endpoint only; events that are not fanned out yet will be delivered anyway.
        Event.type != PING,
        Event.fanned_out_at.is_not(None),
        ~under_way,
    )
    return statement if until is None else statement.where(Event.occurred_at < until)


def delivery_of(event: Event, endpoint: WebhookEndpoint, trigger: Trigger) -> WebhookDelivery:
    """A requested delivery: due at once, and no other delivery waits for it."""
    return WebhookDelivery(
        id=new_id(),
        organization_id=event.organization_id,
        endpoint_id=endpoint.id,
        event_id=event.id,
        event=event.type,
        resource_id=event.resource_id,
        sequence=event.sequence,
        trigger=trigger,
        ordered=False,
        status=DeliveryStatus.PENDING,
        attempts=0,
        next_attempt_at=func.now(),
    )
