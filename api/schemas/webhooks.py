"""Webhooks in requests and responses."""

from typing import Annotated, Any
from uuid import UUID

from pydantic import AfterValidator, AwareDatetime, Field, StringConstraints

from api.schemas.base import MAX_INT, Body, Line, Timestamp, View, Whole
from api.schemas.patches import Patch
from domain.webhook_urls import MAX_URL
from domain.webhooks import (
    SECRET_OVERLAP,
    DeliveryStatus,
    DisabledReason,
    EndpointStatus,
    Trigger,
    WebhookEvent,
)

MAX_OVERLAP_S = 7 * 86_400


def _once(events: list[Any]) -> list[Any]:
    return list(dict.fromkeys(events))


Url = Annotated[str, StringConstraints(min_length=1, max_length=MAX_URL, pattern=r"^https?://[!-~]+$")]
Events = Annotated[list[WebhookEvent], Field(min_length=1, max_length=50), AfterValidator(_once)]


class WebhookCreate(Body):
    """The URL and events of a webhook. `project_id`: only events of this project."""

    url: Url
    description: Line | None = None
    events: Events = Field(default_factory=lambda: [WebhookEvent.ANY])
    project_id: UUID | None = None


class WebhookPatch(Patch):
    """Changes of a webhook. `status: enabled` resumes deliveries; use a replay for missed events."""

    url: Url = ""
    description: Line | None = None
    events: Events = Field(default_factory=list)
    project_id: UUID | None = None
    status: EndpointStatus = EndpointStatus.ENABLED


class WebhookView(View):
    """A webhook. `first_failure_at`: since when every attempt has failed; after five days it is disabled."""

    id: UUID
    organization_id: UUID
    project_id: UUID | None
    url: str
    description: str | None
    events: list[str]
    status: EndpointStatus
    disabled_reason: DisabledReason | None
    disabled_at: Timestamp | None
    first_failure_at: Timestamp | None
    previous_secret_until: Timestamp | None
    created_by: str
    created_at: Timestamp
    updated_at: Timestamp


class WebhookCreatedView(WebhookView):
    """A webhook with its secret, which is shown this once."""

    secret: str


class SecretRotate(Body):
    """How many seconds the old secret also signs; use 0 if it has leaked."""

    overlap_seconds: Whole = Field(default=int(SECRET_OVERLAP.total_seconds()), ge=0, le=MAX_OVERLAP_S)


class ReplayRequest(Body):
    """The events to deliver again: from `since` on, before `until` (default: now)."""

    since: AwareDatetime
    until: AwareDatetime | None = None


class ReplayView(View):
    """The number of events that are delivered again."""

    count: int = Field(le=MAX_INT)
    since: Timestamp
    until: Timestamp | None


class DeliveryView(View):
    """One event for one webhook. `failed`: another attempt follows; `exhausted`: none follows."""

    id: UUID
    webhook_id: UUID
    event_id: UUID
    event: str
    trigger: Trigger
    status: DeliveryStatus
    attempts: int
    next_attempt_at: Timestamp | None
    last_response_status: int | None
    last_error: str | None
    created_at: Timestamp
    completed_at: Timestamp | None


class SentRequest(View):
    """The request, without its signatures."""

    url: str
    headers: dict[str, str]


class GivenResponse(View):
    """The response: its first 4 KiB."""

    status: int
    headers: dict[str, str]
    body: str


class AttemptView(View):
    """One request and its result."""

    number: int
    started_at: Timestamp
    duration_ms: int
    request: SentRequest
    response: GivenResponse | None
    error: str | None


class DeliveryDetailView(DeliveryView):
    """A delivery with its attempts and the `data` of its event."""

    occurred_at: Timestamp
    data: dict[str, Any]
    history: list[AttemptView]
