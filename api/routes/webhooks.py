"""Webhooks of an organization: create, get, list, change, delete; rotate the secret, ping, replay."""

from datetime import timedelta
from uuid import UUID

from fastapi import APIRouter, Request, Response
from sqlalchemy.ext.asyncio import AsyncSession

from api.auth.permissions import WebhooksRead, WebhooksWrite
from api.dependencies import State
from api.http.envelope import Envelope, PageEnvelope, reply, reply_page
from api.http.errors import InvalidRequestError
from api.http.idempotency import Idempotent
from api.http.links import location
from api.http.pagination import WantedPage
from api.http.preconditions import Precondition
from api.rate_limits.sensitive_limits import DELIVERIES, REPLAYS
from api.schemas.webhooks import (
    DeliveryView,
    ReplayRequest,
    ReplayView,
    SecretRotate,
    WebhookCreate,
    WebhookCreatedView,
    WebhookPatch,
    WebhookView,
)
from api.services import audited_writes, webhooks
from domain.errors import UnprocessableError
from domain.webhooks import KEPT, EndpointStatus
from runtime.ids import now
from storage.engine import transaction
from storage.models import WebhookEndpoint
from storage.repositories.webhooks import DELETED, WebhookDeliveryRepository, WebhookRepository

router = APIRouter(tags=["Webhooks"], prefix="/organizations/{org_id}/webhooks")

MAX_REPLAYED = 10_000


@router.post("", summary="Create a webhook", status_code=201, response_model=Envelope[WebhookCreatedView])
async def create_webhook(
    *,
    request: Request,
    parts: State,
    principal: WebhooksWrite,
    command: Idempotent,
    org_id: UUID,
    body: WebhookCreate,
) -> Response:
    """Events are sent to `url` as signed POST requests. This answer shows the signing secret, once."""
    principal.require_organization(org_id)
    webhooks.check_address(parts.settings, body.url)

    async def create(session: AsyncSession) -> Response:
        row, secret = await webhooks.create(session, parts, principal, org_id, body)
        headers = location(request, f"/organizations/{org_id}/webhooks/{row.id}")
        return reply(request, _with_secret(row, secret), status=201, headers=headers)

    return await command.run(create)


@router.get("", summary="List webhooks", response_model=PageEnvelope[WebhookView])
async def list_webhooks(
    *,
    request: Request,
    parts: State,
    principal: WebhooksRead,
    org_id: UUID,
    page: WantedPage,
    status: EndpointStatus | None = None,
) -> Response:
    """The organization's webhooks, newest first."""
    principal.require_organization(org_id)
    async with transaction(parts.sessions) as session:
        found = await WebhookRepository(session, principal.tenant).search(org_id, status=status, request=page)
    return reply_page(request, found, [WebhookView.model_validate(row) for row in found.rows])


@router.get("/{webhook_id}", summary="Get a webhook", response_model=Envelope[WebhookView])
async def get_webhook(
    request: Request, parts: State, principal: WebhooksRead, org_id: UUID, webhook_id: UUID
) -> Response:
    """A webhook without its secret, which is shown only on creation and rotation."""
    principal.require_organization(org_id)
    async with transaction(parts.sessions) as session:
        row = await WebhookRepository(session, principal.tenant).of(org_id, webhook_id)
    return reply(request, WebhookView.model_validate(row))


@router.patch("/{webhook_id}", summary="Change a webhook", response_model=Envelope[WebhookView])
async def change_webhook(
    *,
    request: Request,
    parts: State,
    principal: WebhooksWrite,
    command: Idempotent,
    precondition: Precondition,
    org_id: UUID,
    webhook_id: UUID,
    body: WebhookPatch,
) -> Response:
    """Fields not given stay as they are. Disabling drops the pending deliveries; a replay restores them."""
    principal.require_organization(org_id)
    if "url" in body.model_fields_set:
        webhooks.check_address(parts.settings, body.url)

    async def carry_out(session: AsyncSession) -> Response:
        row = await WebhookRepository(session, principal.tenant).of(org_id, webhook_id, lock=True)
        precondition.check(WebhookView.model_validate(row))
        await webhooks.change(session, principal, row, body)
        return reply(request, WebhookView.model_validate(row))

    return await command.run(carry_out)


@router.delete("/{webhook_id}", summary="Delete a webhook", status_code=204)
async def delete_webhook(
    *, parts: State, principal: WebhooksWrite, precondition: Precondition, org_id: UUID, webhook_id: UUID
) -> Response:
    """Nothing more is sent to it, and its deliveries are deleted."""
    principal.require_organization(org_id)
    async with transaction(parts.sessions) as session:
        row = await WebhookRepository(session, principal.tenant).of(org_id, webhook_id, lock=True)
        precondition.check(WebhookView.model_validate(row))
        await audited_writes.set_aside(session, row, {"status": DELETED})
    return Response(status_code=204)


@router.post("/{webhook_id}/rotate-secret", summary="Rotate a secret", response_model=Envelope[WebhookCreatedView])
async def rotate_webhook_secret(
    *,
    request: Request,
    parts: State,
    principal: WebhooksWrite,
    command: Idempotent,
    org_id: UUID,
    webhook_id: UUID,
    body: SecretRotate | None = None,
) -> Response:
    """The new secret is shown once. For 24 hours (`overlap_seconds`), `webhook-signature` carries both signatures.

    `X-Signature-256` holds one signature: the old secret's until the overlap ends.
    """
    principal.require_organization(org_id)
    overlap = timedelta(seconds=(body or SecretRotate()).overlap_seconds)

    async def rotate(session: AsyncSession) -> Response:
        row = await WebhookRepository(session, principal.tenant).of(org_id, webhook_id, lock=True)
        secret = await webhooks.rotate(session, parts.sealer, row, overlap)
        return reply(request, _with_secret(row, secret))

    return await command.run(rotate)


@router.post("/{webhook_id}/ping", summary="Ping a webhook", status_code=201, response_model=Envelope[DeliveryView])
async def ping_webhook(
    *, request: Request, parts: State, principal: WebhooksWrite, command: Idempotent, org_id: UUID, webhook_id: UUID
) -> Response:
    """Sends the event `ping` at once, through the normal delivery. Its delivery shows the answer moments later."""
    principal.require_organization(org_id)

    async def ping(session: AsyncSession) -> Response:
        row = await WebhookRepository(session, principal.tenant).of(org_id, webhook_id)
        await webhooks.check_pace(parts, DELIVERIES, org_id)
        await webhooks.check_room(session, parts.settings, org_id)
        delivery = await webhooks.ping(session, principal, row)
        headers = location(request, f"/organizations/{org_id}/webhooks/{row.id}/deliveries/{delivery.id}")
        return reply(request, webhooks.delivery_view(delivery), status=201, headers=headers)

    return await command.run(ping)


@router.post("/{webhook_id}/replay", summary="Replay events", response_model=Envelope[ReplayView])
async def replay_events(
    *,
    request: Request,
    parts: State,
    principal: WebhooksWrite,
    command: Idempotent,
    org_id: UUID,
    webhook_id: UUID,
    body: ReplayRequest,
) -> Response:
    """Sends the events since `since` that the webhook subscribes to again, in order, with the same `event_id`s.

    At most 10,000 events, without those still being delivered. Events are kept for 30 days.
    """
    principal.require_organization(org_id)
    _check_span(body)

    async def replay(session: AsyncSession) -> Response:
        webhooks.check_enabled(await WebhookRepository(session, principal.tenant).of(org_id, webhook_id))
        await webhooks.check_pace(parts, REPLAYS, org_id)
        most = min(MAX_REPLAYED, await webhooks.check_room(session, parts.settings, org_id))
        row = await WebhookRepository(session, principal.tenant).of(org_id, webhook_id, lock=True)
        webhooks.check_enabled(row)
        deliveries = WebhookDeliveryRepository(session, principal.tenant)
        count = await deliveries.replay(row, body.since, body.until, limit=most)
        if count is None:
            raise UnprocessableError(
                f"these are more than {most} events; take a shorter time, with until",
                details={"limit": most},
            )
        return reply(request, ReplayView(count=count, since=body.since, until=body.until))

    return await command.run(replay)


def _check_span(body: ReplayRequest) -> None:
    if body.until is not None and body.until <= body.since:
        raise InvalidRequestError("until", "must be after since", code="until_before_since")
    if body.since < now() - KEPT:
        raise InvalidRequestError("since", f"events are kept for {KEPT.days} days", code="since_too_old")


def _with_secret(row: WebhookEndpoint, secret: str) -> WebhookCreatedView:
    return WebhookCreatedView(**WebhookView.model_validate(row).model_dump(), secret=secret)
