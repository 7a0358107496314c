"""One more attempt of a webhook that failed before."""

from collections import Counter
from typing import Protocol
from uuid import UUID

from activities.failures import translate_errors
from contracts.stubs import implements
from contracts.webhooks import ATTEMPT_WEBHOOK, WebhookAttempt, WebhookOutcome
from domain.errors import DependencyError

# Attempts under way to one endpoint: a dead one must not take all the places of the others.
PER_ENDPOINT = 4


class Retrier(Protocol):
    """Who makes attempts and writes them down."""

    async def retry(self, delivery_id: UUID, number: int) -> WebhookOutcome:
        """Make attempt `number` unless it was made, and tell where the delivery stands."""


class WebhookActivities:
    """Retries of deliveries."""

    def __init__(self, retries: Retrier) -> None:
        self._retries = retries
        self._under_way: Counter[UUID] = Counter()

    @implements(ATTEMPT_WEBHOOK)
    @translate_errors
    async def attempt(self, request: WebhookAttempt) -> WebhookOutcome:
        return await self._attempt(request)

    async def _attempt(self, request: WebhookAttempt) -> WebhookOutcome:
        """Raises `DependencyError` when enough are under way: Temporal asks again, and the history does not grow."""
        if self._under_way[request.endpoint_id] >= PER_ENDPOINT:
            raise DependencyError("enough attempts to this endpoint are under way")
        self._under_way[request.endpoint_id] += 1
        try:
            return await self._retries.retry(request.delivery_id, request.number)
        finally:
            self._under_way[request.endpoint_id] -= 1
            if not self._under_way[request.endpoint_id]:
                del self._under_way[request.endpoint_id]
