"""Organizations with webhooks and events, on real tables, and a relay that sends them."""

import asyncio
import base64
import secrets
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from ipaddress import ip_network
from typing import Any
from uuid import UUID

from sqlalchemy import select

from events.delivery_attempt import Courier
from events.dispatcher import Dispatcher
from events.egress_guard import WebhookEgress
from events.sender import Sender
from runtime.encryption import Sealer
from runtime.ids import new_id
from storage.engine import Sessions, transaction
from storage.listen import Listener
from storage.models import Event, Organization, WebhookAttempt, WebhookDelivery, WebhookEndpoint
from storage.repositories.events import CHANNEL, EventRepository
from storage.sealed import webhook_context

LOOPBACK = (ip_network("127.0.0.0/8"), ip_network("::1/128"))
SEALER = Sealer([b"k" * 32])


def new_secret() -> str:
    return "whsec_" + base64.b64encode(secrets.token_bytes(24)).decode()


@dataclass(frozen=True)
class Scene:
    """One organization's webhooks."""

    sessions: Sessions
    organization_id: UUID

    @classmethod
    async def make(cls, sessions: Sessions) -> "Scene":
        organization_id = new_id()
        name = f"o-{organization_id.hex[-12:]}"
        async with transaction(sessions) as session:
            session.add(Organization(id=organization_id, name=name, slug=name, host_label=name))
        return cls(sessions, organization_id)

    async def endpoint(
        self, url: str, secret: str = "", *, events: Sequence[str] = ("*",), **values: Any
    ) -> WebhookEndpoint:
        endpoint_id = new_id()
        sealed = SEALER.seal((secret or new_secret()).encode(), webhook_context(endpoint_id))
        row = WebhookEndpoint(
            id=endpoint_id,
            organization_id=self.organization_id,
            url=url,
            events=list(events),
            secret=sealed,
            created_by="ann",
            **values,
        )
        async with transaction(self.sessions) as session:
            session.add(row)
        return row

    async def event(self, kind: str = "feature.created", resource_id: UUID | None = None, **payload: Any) -> UUID:
        event_id = new_id()
        async with transaction(self.sessions) as session:
            await EventRepository(session).add(
                Event(
                    id=event_id,
                    organization_id=self.organization_id,
                    type=kind,
                    resource_type="feature",
                    resource_id=resource_id or new_id(),
                    payload=payload or {"feature": {"id": "f"}},
                )
            )
        return event_id

    async def deliveries(self, endpoint_id: UUID) -> Sequence[WebhookDelivery]:
        async with transaction(self.sessions) as session:
            statement = select(WebhookDelivery).where(WebhookDelivery.endpoint_id == endpoint_id)
            return (await session.scalars(statement.order_by(WebhookDelivery.sequence, WebhookDelivery.id))).all()

    async def attempts(self, delivery_id: UUID) -> Sequence[WebhookAttempt]:
        async with transaction(self.sessions) as session:
            statement = select(WebhookAttempt).where(WebhookAttempt.delivery_id == delivery_id)
            return (await session.scalars(statement.order_by(WebhookAttempt.number))).all()

    async def reload(self, endpoint: WebhookEndpoint) -> WebhookEndpoint:
        async with transaction(self.sessions) as session:
            return await session.get_one(WebhookEndpoint, endpoint.id)

    async def until(self, endpoint_id: UUID, *statuses: str, limit_s: float = 120) -> Sequence[WebhookDelivery]:
        """Wait until the deliveries have exactly these statuses, in the order of their events."""
        rows: Sequence[WebhookDelivery] = ()
        try:
            async with asyncio.timeout(limit_s):
                while tuple(row.status for row in rows) != statuses:
                    rows = await self.deliveries(endpoint_id)
                    await asyncio.sleep(0.02)
        except TimeoutError:
            raise AssertionError([(row.status, row.last_error) for row in rows]) from None
        return rows


@asynccontextmanager
async def relay(
    sessions: Sessions, database_url: str, *, limit_s: float = 60.0, failed: asyncio.Event | None = None
) -> AsyncIterator[Courier]:
    """A relay at work, as the worker runs it."""
    sender = Sender(WebhookEgress(LOOPBACK), limit_s=limit_s)
    courier = Courier(sender, SEALER)
    listener = Listener(database_url, CHANNEL)
    task = asyncio.create_task(Dispatcher(sessions, courier, listener, failed or asyncio.Event()).run())
    try:
        yield courier
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await listener.close()
        await sender.close()
