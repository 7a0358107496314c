"""Retries of a webhook: the input of its workflow, and the outcome of each further attempt."""

from datetime import datetime
from uuid import UUID

from contracts.payload import BoundedText, Payload
from contracts.policies import WEBHOOK_ATTEMPT
from contracts.stubs import ActivityStub


class WebhookOrder(Payload):
    """A delivery to retry. `host`: scheme and host only, as paths and queries may contain secrets."""

    delivery_id: UUID
    endpoint_id: UUID
    event: str
    host: BoundedText
    organization_slug: str
    attempts: int
    next_attempt_at: datetime


class WebhookAttempt(Payload):
    """Make attempt `number` (from 1), unless it was made already."""

    delivery_id: UUID
    endpoint_id: UUID
    number: int


class WebhookOutcome(Payload):
    """The state of the delivery. `next_attempt_at` is None if no attempt follows. `answer`: a short description."""

    status: str
    attempts: int
    next_attempt_at: datetime | None = None
    answer: BoundedText = ""


ATTEMPT_WEBHOOK = ActivityStub("webhooks.attempt", WebhookAttempt, WebhookOutcome, WEBHOOK_ATTEMPT)
