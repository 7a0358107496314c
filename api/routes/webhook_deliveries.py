"""Deliveries of a webhook: list, get, redeliver."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query, Request, Response
from sqlalchemy.ext.asyncio import AsyncSession

from api.auth.permissions import WebhooksRead, WebhooksWrite
from api.dependencies import State
from api.http.envelope import Envelope, PageEnvelope, reply, reply_page
from api.http.idempotency import Idempotent
from api.http.links import location
from api.http.pagination import WantedPage
from api.rate_limits.sensitive_limits import DELIVERIES
from api.schemas.base import Searched
from api.schemas.webhooks import DeliveryDetailView, DeliveryView
from api.services import webhooks
from domain.webhooks import DeliveryStatus
from storage.engine import transaction
from storage.repositories.webhooks import WebhookDeliveryRepository, WebhookRepository

router = APIRouter(tags=["Webhooks"], prefix="/organizations/{org_id}/webhooks/{webhook_id}/deliveries")

EventName = Annotated[str | None, Query(max_length=64, description="only deliveries of this event"), Searched]


@router.get("", summary="List deliveries", response_model=PageEnvelope[DeliveryView])
async def list_webhook_deliveries(
    *,
    request: Request,
    parts: State,
    principal: WebhooksRead,
    org_id: UUID,
    webhook_id: UUID,
    page: WantedPage,
    status: DeliveryStatus | None = None,
    event: EventName = None,
) -> Response:
    """What was sent to a webhook and what will be, newest first, for 30 days."""
    principal.require_organization(org_id)
    async with transaction(parts.sessions) as session:
        endpoint = await WebhookRepository(session, principal.tenant).of(org_id, webhook_id)
        rows = WebhookDeliveryRepository(session, principal.tenant)
        found = await rows.search(endpoint.id, status=status, event=event, request=page)
    return reply_page(request, found, [webhooks.delivery_view(row) for row in found.rows])


@router.get("/{delivery_id}", summary="Get a delivery", response_model=Envelope[DeliveryDetailView])
async def get_webhook_delivery(
    *, request: Request, parts: State, principal: WebhooksRead, org_id: UUID, webhook_id: UUID, delivery_id: UUID
) -> Response:
    """A delivery with every attempt: the request, the answer, and the duration."""
    principal.require_organization(org_id)
    async with transaction(parts.sessions) as session:
        endpoint = await WebhookRepository(session, principal.tenant).of(org_id, webhook_id)
        rows = WebhookDeliveryRepository(session, principal.tenant)
        row = await rows.of(endpoint.id, delivery_id)
        view = webhooks.detail_view(row, await rows.event_of(row), await rows.attempts(row))
    return reply(request, view)


@router.post(
    "/{delivery_id}/redeliver", summary="Deliver again", status_code=201, response_model=Envelope[DeliveryView]
)
async def redeliver(
    *,
    request: Request,
    parts: State,
    principal: WebhooksWrite,
    command: Idempotent,
    org_id: UUID,
    webhook_id: UUID,
    delivery_id: UUID,
) -> Response:
    """Sends the same event again as a new delivery with the same `event_id`, at once and ahead of all others."""
    principal.require_organization(org_id)

    async def carry_out(session: AsyncSession) -> Response:
        endpoint = await WebhookRepository(session, principal.tenant).of(org_id, webhook_id)
        delivery = await WebhookDeliveryRepository(session, principal.tenant).of(endpoint.id, delivery_id)
        await webhooks.check_pace(parts, DELIVERIES, org_id)
        await webhooks.check_room(session, parts.settings, org_id)
        made = await webhooks.redeliver(session, principal, endpoint, delivery)
        headers = location(request, f"/organizations/{org_id}/webhooks/{webhook_id}/deliveries/{made.id}")
        return reply(request, webhooks.delivery_view(made), status=201, headers=headers)

    return await command.run(carry_out)
