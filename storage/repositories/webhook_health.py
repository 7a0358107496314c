"""The health of endpoints: since when they fail, and the disabling of those that fail too long."""

from collections.abc import Iterable
from datetime import UTC, datetime
from uuid import UUID

from sqlalchemy import func, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from domain.events import EventType
from domain.webhooks import UNFINISHED, DeliveryStatus, DisabledReason, EndpointStatus
from runtime.ids import new_id
from storage.models import Event, WebhookDelivery, WebhookEndpoint
from storage.repositories.events import EventRepository

# Rows per statement.
AT_ONCE = 1000
ENDPOINT_DISABLED = "the webhook is disabled"


class WebhookHealth:
    """Across all tenants, for callers that have seen an endpoint's response."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def lock(self, endpoint_ids: Iterable[UUID], failed: Iterable[UUID]) -> None:
        """Lock endpoints before their deliveries are written, in the same order as disabling or deleting one does.

        Another order could deadlock. `failed`: those of them that are certainly written.
        """
        mine = select(WebhookEndpoint.id).order_by(WebhookEndpoint.id)
        written = WebhookEndpoint.first_failure_at.is_not(None) | WebhookEndpoint.id.in_(sorted(failed))
        here = mine.where(WebhookEndpoint.id.in_(sorted(endpoint_ids)))
        await self._session.execute(here.where(written).with_for_update(key_share=True))
        await self._session.execute(here.with_for_update(read=True, key_share=True))

    async def succeeded(self, endpoint_ids: Iterable[UUID]) -> None:
        """They answered with success: earlier failures are forgotten."""
        await self._session.execute(
            update(WebhookEndpoint)
            .where(WebhookEndpoint.id.in_(sorted(endpoint_ids)), WebhookEndpoint.first_failure_at.is_not(None))
            .values(first_failure_at=None, updated_at=WebhookEndpoint.updated_at)
        )

    async def failed(self, endpoint_id: UUID, at: datetime) -> datetime | None:
        """It failed; returns since when all attempts fail, or None if it is disabled or deleted."""
        statement = (
            update(WebhookEndpoint)
            .where(WebhookEndpoint.id == endpoint_id, WebhookEndpoint.status == EndpointStatus.ENABLED)
            .values(
                first_failure_at=func.coalesce(WebhookEndpoint.first_failure_at, at),
                updated_at=WebhookEndpoint.updated_at,
            )
            .returning(WebhookEndpoint.first_failure_at)
        )
        return await self._session.scalar(statement)

    async def disable(self, endpoint_id: UUID, reason: DisabledReason) -> bool:
        """Disable it, and notify the organization's other endpoints; False if it was disabled before."""
        statement = (
            update(WebhookEndpoint)
            .where(WebhookEndpoint.id == endpoint_id, WebhookEndpoint.status == EndpointStatus.ENABLED)
            .values(status=EndpointStatus.DISABLED, disabled_reason=reason, disabled_at=func.now())
            .returning(WebhookEndpoint)
        )
        endpoint = await self._session.scalar(statement, execution_options={"populate_existing": True})
        if endpoint is None:
            return False
        await self.give_up(endpoint_id)
        await EventRepository(self._session).add(disabled_event(endpoint))
        return True

    async def give_up(self, endpoint_id: UUID) -> None:
        """Cancel an endpoint's pending deliveries; a replay can restore them.

        In bounded statements, since there may be very many.
        """
        waits = (WebhookDelivery.endpoint_id == endpoint_id, WebhookDelivery.status.in_(UNFINISHED))
        while True:
            ids = list(await self._session.scalars(select(WebhookDelivery.id).where(*waits).limit(AT_ONCE)))
            await self._session.execute(update(WebhookDelivery).where(WebhookDelivery.id.in_(ids)).values(_GIVEN_UP))
            if len(ids) < AT_ONCE:
                return

    async def give_up_strays(self, *, limit: int) -> int:
        """The same for deliveries created at the very moment when an endpoint was disabled; returns their number."""
        strays = (
            select(WebhookDelivery.id)
            .join(WebhookEndpoint, WebhookEndpoint.id == WebhookDelivery.endpoint_id)
            .where(
                WebhookEndpoint.status == EndpointStatus.DISABLED,
                WebhookDelivery.ordered,
                WebhookDelivery.status.in_(UNFINISHED),
            )
            .limit(limit)
        )
        ids = list(await self._session.scalars(strays))
        await self._session.execute(update(WebhookDelivery).where(WebhookDelivery.id.in_(ids)).values(_GIVEN_UP))
        return len(ids)


_GIVEN_UP = {
    "status": DeliveryStatus.EXHAUSTED,
    "next_attempt_at": None,
    "locked_until": None,
    "completed_at": func.now(),
    "last_error": ENDPOINT_DISABLED,
}


def disabled_event(endpoint: WebhookEndpoint) -> Event:
    """The event for the organization's other endpoints."""
    moment = endpoint.disabled_at.astimezone(UTC).isoformat().replace("+00:00", "Z") if endpoint.disabled_at else None
    told = {
        "id": str(endpoint.id),
        "url": endpoint.url,
        "status": endpoint.status,
        "disabled_reason": endpoint.disabled_reason,
        "disabled_at": moment,
    }
    return Event(
        id=new_id(),
        organization_id=endpoint.organization_id,
        project_id=endpoint.project_id,
        type=EventType.WEBHOOK_DISABLED,
        resource_type="webhook",
        resource_id=endpoint.id,
        payload={"webhook": told},
    )
