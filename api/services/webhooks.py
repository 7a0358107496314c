"""What changes about webhooks, and how their rows are shown."""

import base64
import secrets
from collections.abc import Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from api.auth.principal import Principal
from api.dependencies import AppState
from api.http.errors import InvalidRequestError, TooOftenError
from api.rate_limits.sensitive_limits import Limit
from api.schemas.webhooks import (
    AttemptView,
    DeliveryDetailView,
    DeliveryView,
    GivenResponse,
    SentRequest,
    WebhookCreate,
    WebhookPatch,
)
from api.services import audited_writes
from api.services.organizations.status import refuse_inactive
from domain.addresses import parse_networks
from domain.errors import CallerError, ConflictError, ErrorCode, ForbiddenError
from domain.webhook_urls import check_url, parse_ports
from domain.webhooks import PING, DisabledReason, EndpointStatus, Trigger
from runtime.encryption import Sealer
from runtime.ids import new_id, now
from runtime.settings import Settings
from storage.models import Event, WebhookAttempt, WebhookDelivery, WebhookEndpoint
from storage.repositories.organizations import OrganizationRepository
from storage.repositories.projects import ProjectRepository
from storage.repositories.webhook_health import WebhookHealth
from storage.repositories.webhooks import WebhookDeliveryRepository, WebhookRepository, delivery_of
from storage.sealed import webhook_context
from storage.tenancy import PLATFORM

MAX_WEBHOOKS = 20
WAIT_S = 30
SECRET_BYTES = 32


def check_address(settings: Settings, url: str) -> None:
    """Raise `InvalidRequestError` for an address that we could never send to."""
    try:
        check_url(url, ports=parse_ports(settings.webhook_ports), networks=parse_networks(settings.egress_networks))
    except CallerError as error:
        raise InvalidRequestError("url", error.message, code="url_not_allowed") from error


async def create(
    session: AsyncSession, parts: AppState, principal: Principal, organization_id: UUID, body: WebhookCreate
) -> tuple[WebhookEndpoint, str]:
    """A new webhook, and its secret.

    Raises:
        ForbiddenError: QUOTA_EXCEEDED.
    """
    await OrganizationRepository(session, principal.tenant).get(organization_id, lock=True)
    if await WebhookRepository(session, principal.tenant).count(organization_id) >= MAX_WEBHOOKS:
        raise ForbiddenError(
            f"an organization has at most {MAX_WEBHOOKS} webhooks; delete one first",
            code=ErrorCode.QUOTA_EXCEEDED,
            details={"limit": MAX_WEBHOOKS},
        )
    await _check_project(session, principal, organization_id, body.project_id)
    row = WebhookEndpoint(
        id=new_id(),
        organization_id=organization_id,
        status=EndpointStatus.ENABLED,
        created_by=principal.subject,
        **body.model_dump(mode="json", exclude={"project_id"}),
        project_id=body.project_id,
    )
    secret = _new_secret()
    row.secret = _sealed(parts.sealer, row.id, secret)
    await audited_writes.add(session, row)
    return row, secret


async def change(session: AsyncSession, principal: Principal, row: WebhookEndpoint, body: WebhookPatch) -> None:
    """Give a locked webhook what was asked for; disabling it gives up what waits for it."""
    if "project_id" in body.model_fields_set:
        await _check_project(session, principal, row.organization_id, body.project_id)
    values = body.changes()
    if "events" in values:
        values["events"] = [str(name) for name in values["events"]]
    if "status" in values and values["status"] != row.status:
        enabled = values["status"] is EndpointStatus.ENABLED
        values |= {
            "first_failure_at": None,
            "disabled_at": None if enabled else now(),
            "disabled_reason": None if enabled else DisabledReason.BY_REQUEST,
        }
        if not enabled:
            await WebhookHealth(session).give_up(row.id)
    await audited_writes.change(session, row, values)


async def rotate(session: AsyncSession, sealer: Sealer, row: WebhookEndpoint, overlap: timedelta) -> str:
    """A new secret for a locked webhook; the one it had signs too until the overlap is over."""
    secret = _new_secret()
    values = {
        "previous_secret": row.secret if overlap else None,
        "previous_secret_until": now() + overlap if overlap else None,
        "secret": _sealed(sealer, row.id, secret),
    }
    await audited_writes.change(session, row, values)
    return secret


async def ping(session: AsyncSession, principal: Principal, row: WebhookEndpoint) -> WebhookDelivery:
    """Have an event of its own sent to a webhook at once, also to a disabled one; it is not tried again."""
    event = Event(
        id=new_id(),
        organization_id=row.organization_id,
        project_id=row.project_id,
        type=PING,
        resource_type="webhook",
        resource_id=row.id,
        payload={"webhook": {"id": str(row.id), "url": row.url, "events": row.events}},
        fanned_out_at=now(),
    )
    await audited_writes.add(session, event)
    return await _send(session, principal, event, row, Trigger.PING)


async def redeliver(
    session: AsyncSession, principal: Principal, row: WebhookEndpoint, delivery: WebhookDelivery
) -> WebhookDelivery:
    """Deliver the event of a delivery once more, at once.

    Raises:
        ConflictError: INVALID_STATE, the webhook is disabled.
    """
    check_enabled(row)
    event = await WebhookDeliveryRepository(session, principal.tenant).event_of(delivery)
    trigger = Trigger.PING if delivery.trigger == Trigger.PING else Trigger.REDELIVERY
    return await _send(session, principal, event, row, trigger)


async def check_room(session: AsyncSession, settings: Settings, organization_id: UUID) -> int:
    """How many deliveries more an organization may ask for; its row is locked until the transaction ends: do it first.

    Raises:
        TooOftenError: none.
        ForbiddenError: ORGANIZATION_NOT_ACTIVE.
    """
    refuse_inactive(await OrganizationRepository(session, PLATFORM).get(organization_id, lock=True))
    most = settings.requested_deliveries_per_organization
    room = most - await WebhookDeliveryRepository(session, PLATFORM).asked_for(organization_id)
    if room <= 0:
        raise TooOftenError(
            WAIT_S, f"{most} deliveries that your organization asked for wait already; let them be made first"
        )
    return room


async def check_pace(parts: AppState, limit: Limit, organization_id: UUID) -> None:
    """Count a request for deliveries.

    Raises:
        TooOftenError: the organization asks too often.
    """
    if wait_s := await parts.oauth.limits.wait_of_s(limit, str(organization_id)):
        raise TooOftenError(wait_s, f"your organization asks for deliveries too often; again in {wait_s} seconds")


def check_enabled(row: WebhookEndpoint) -> None:
    """Raise `ConflictError` (INVALID_STATE) for a disabled webhook."""
    if row.status != EndpointStatus.ENABLED:
        raise ConflictError(
            "the webhook is disabled; enable it first (PATCH, status: enabled)",
            code=ErrorCode.INVALID_STATE,
            details={"state": row.status, "allowed_in": [EndpointStatus.ENABLED]},
        )


def delivery_view(row: WebhookDelivery) -> DeliveryView:
    """A delivery as lists show it."""
    return DeliveryView.model_validate(_shown(row))


def detail_view(row: WebhookDelivery, event: Event, attempts: Sequence[WebhookAttempt]) -> DeliveryDetailView:
    """A delivery with everything that is known of it."""
    history = [_attempt_view(attempt) for attempt in attempts]
    more = {"occurred_at": event.occurred_at, "data": event.payload, "history": history}
    return DeliveryDetailView.model_validate(_shown(row) | more)


def _shown(row: WebhookDelivery) -> dict[str, Any]:
    return {
        "id": row.id,
        "webhook_id": row.endpoint_id,
        "event_id": row.event_id,
        "event": row.event,
        "trigger": row.trigger,
        "status": row.status,
        "attempts": row.attempts,
        "next_attempt_at": row.next_attempt_at,
        "last_response_status": row.last_status,
        "last_error": row.last_error,
        "created_at": row.created_at,
        "completed_at": row.completed_at,
    }


def _attempt_view(row: WebhookAttempt) -> AttemptView:
    response = None
    if row.response_status is not None:
        response = GivenResponse(
            status=row.response_status, headers=row.response_headers or {}, body=row.response_body or ""
        )
    return AttemptView(
        number=row.number,
        started_at=row.started_at,
        duration_ms=row.duration_ms,
        request=SentRequest(url=row.url, headers=row.request_headers),
        response=response,
        error=row.error,
    )


async def _send(
    session: AsyncSession, principal: Principal, event: Event, row: WebhookEndpoint, trigger: Trigger
) -> WebhookDelivery:
    return await WebhookDeliveryRepository(session, principal.tenant).send(delivery_of(event, row, trigger))


async def _check_project(
    session: AsyncSession, principal: Principal, organization_id: UUID, project_id: UUID | None
) -> None:
    if project_id is None:
        return
    found = await ProjectRepository(session, principal.tenant).several([project_id])
    if not any(project.organization_id == organization_id for project in found):
        raise InvalidRequestError("project_id", "is not a project of this organization", code="unknown_project")


def _new_secret() -> str:
    return "whsec_" + base64.b64encode(secrets.token_bytes(SECRET_BYTES)).decode()


def _sealed(sealer: Sealer, webhook_id: UUID, secret: str) -> bytes:
    return sealer.seal(secret.encode(), webhook_context(webhook_id))
