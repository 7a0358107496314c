"""A webhook that failed at first: what its workflow is told, and what comes of each further attempt."""

from datetime import datetime
from uuid import UUID

from contracts.payload import BoundedText, Payload
from contracts.policies import WEBHOOK_ATTEMPT
from contracts.stubs import ActivityStub


class WebhookOrder(Payload):
    """A delivery to go on with. `host`: scheme and host alone, as paths and queries may hold secrets."""

    delivery_id: UUID
    endpoint_id: UUID
    event: str
    host: BoundedText
    organization_slug: str
    attempts: int
    next_attempt_at: datetime


class WebhookAttempt(Payload):
    """Make attempt `number` (from 1), unless it was made."""

    delivery_id: UUID
    endpoint_id: UUID
    number: int


class WebhookOutcome(Payload):
    """Where the delivery stands now; `next_attempt_at` is None when nothing follows. `answer`: in a few words."""

    status: str
    attempts: int
    next_attempt_at: datetime | None = None
    answer: BoundedText = ""


ATTEMPT_WEBHOOK = ActivityStub("webhooks.attempt", WebhookAttempt, WebhookOutcome, WEBHOOK_ATTEMPT)
