"""One more attempt of a webhook that failed before."""

from collections import Counter
from datetime import timedelta
from typing import Protocol
from uuid import UUID

from temporalio.exceptions import ApplicationError

from activities.failures import reported
from contracts.stubs import implements
from contracts.webhooks import ATTEMPT_WEBHOOK, WebhookAttempt, WebhookOutcome
from domain.errors import ErrorCode

# Attempts under way to one endpoint: a dead one must not take all the places of the others.
PER_ENDPOINT = 4
AGAIN_AFTER = timedelta(seconds=5)


class Retries(Protocol):
    """Who makes attempts and writes them down."""

    async def retry(self, delivery_id: UUID, number: int) -> WebhookOutcome:
        """Make attempt `number` unless it was made, and tell where the delivery stands."""


class WebhookActivities:
    """Retries of deliveries."""

    def __init__(self, retries: Retries) -> None:
        self._retries = retries
        self._under_way: Counter[UUID] = Counter()

    @implements(ATTEMPT_WEBHOOK)
    @reported
    async def attempt(self, request: WebhookAttempt) -> WebhookOutcome:
        if self._under_way[request.endpoint_id] >= PER_ENDPOINT:
            raise ApplicationError(
                "enough attempts to this endpoint are under way",
                type=ErrorCode.SERVICE_UNAVAILABLE,
                next_retry_delay=AGAIN_AFTER,
            )
        self._under_way[request.endpoint_id] += 1
        try:
            return await self._retries.retry(request.delivery_id, request.number)
        finally:
            self._under_way[request.endpoint_id] -= 1
            self._under_way += Counter()  # drops those with none
