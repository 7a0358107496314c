"""Further attempts of a delivery, requested by its workflow."""

from uuid import UUID

from contracts.webhooks import WebhookOutcome
from domain.errors import DependencyError
from domain.webhooks import DeliveryStatus
from events.delivery_attempt import Courier, record
from storage.engine import Sessions, transaction
from storage.repositories.webhook_claims import WebhookClaims


class WebhookRetrier:
    """Makes each attempt once: a repeated call finds it recorded. A crash while sending may send it twice."""

    def __init__(self, sessions: Sessions, courier: Courier) -> None:
        self._sessions = sessions
        self._courier = courier

    async def retry(self, delivery_id: UUID, number: int) -> WebhookOutcome:
        """Make attempt `number` of a delivery, unless it was made or is not wanted any more; returns its state.

        Raises:
            DependencyError: another worker is making it, or died doing so; it is not due yet by the database's clock;
                or the database does not answer.
        """
        async with transaction(self._sessions) as session:
            claim = await WebhookClaims(session).retry(delivery_id, number)
        if claim is not None:
            result = await self._courier.attempt(claim)
            async with transaction(self._sessions) as session:
                await record(session, [result])
        return await self._state(delivery_id, number)

    async def _state(self, delivery_id: UUID, number: int) -> WebhookOutcome:
        async with transaction(self._sessions) as session:
            row = await WebhookClaims(session).look(delivery_id)
        if row is None:
            return WebhookOutcome(status="removed", attempts=number)
        if row.status == DeliveryStatus.FAILED and row.attempts < number:
            raise DependencyError(
                "another worker is at this attempt, or died at it, or it is not due; it is looked at again"
            )
        answer = row.last_error or f"answered {row.last_status}"
        return WebhookOutcome(
            status=row.status, attempts=row.attempts, next_attempt_at=row.next_attempt_at, answer=answer
        )
