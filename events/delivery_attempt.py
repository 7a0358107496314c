"""One attempt of a delivery: build, sign and send the request, evaluate the response, record it."""

import json
import random
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import structlog
from sqlalchemy.ext.asyncio import AsyncSession

from domain.errors import DeliveryError
from domain.webhooks import (
    GONE,
    DeliveryStatus,
    DisabledReason,
    Trigger,
    is_given_up,
    is_success,
    parse_retry_after,
    pause,
)
from events.sender import Answer, Sender
from events.signing import signatures
from runtime.encryption import Sealer
from runtime.ids import now
from storage.repositories.webhook_claims import Claim, Recorded, WebhookClaims
from storage.repositories.webhook_health import WebhookHealth
from storage.sealed import webhook_context

log = structlog.get_logger(__name__)

USER_AGENT = "delivery-engine-webhooks/1.0"


class Courier:
    """Makes attempts of claimed deliveries."""

    def __init__(self, sender: Sender, sealer: Sealer) -> None:
        self._sender = sender
        self._sealer = sealer

    async def attempt(self, claim: Claim) -> Recorded:
        """Send once; the attempt can be recorded whatever the receiver does."""
        started_at = now()
        body = body_of(claim)
        headers = {"Content-Type": "application/json", "User-Agent": USER_AGENT, "Accept": "*/*"}
        try:
            signed = signatures(self._secrets(claim, started_at), claim.event_id, int(started_at.timestamp()), body)
        except DeliveryError as error:
            log.warning("webhook.secret_unreadable", endpoint_id=str(claim.endpoint_id), reason=error.message)
            answer = Answer(0, error="its secret cannot be read now; the operators have been told")
        else:
            answer = await self._sender.post(claim.url, {**headers, **signed}, body)
        shown = {**headers, "webhook-id": str(claim.event_id), "webhook-timestamp": str(int(started_at.timestamp()))}
        status, next_attempt_at = judge(claim, answer, now())
        return Recorded(
            claim=claim,
            url=claim.url,
            started_at=started_at,
            duration_ms=answer.duration_ms,
            request_headers=shown,
            response_status=answer.status,
            response_headers=answer.headers,
            response_body=answer.body,
            error=answer.error,
            status=status,
            next_attempt_at=next_attempt_at,
            completed_at=None if next_attempt_at else now(),
        )

    def _secrets(self, claim: Claim, moment: datetime) -> list[str]:
        sealed = [claim.secret]
        if claim.previous_secret and claim.previous_secret_until and moment < claim.previous_secret_until:
            sealed.append(claim.previous_secret)
        return [self._sealer.open(one, webhook_context(claim.endpoint_id)).decode() for one in sealed]


def body_of(claim: Claim) -> bytes:
    """The request's body, exactly as in the contract; `retry_count` is the number of attempts before this one."""
    content = {
        "event": claim.event,
        "timestamp": claim.occurred_at.astimezone(UTC).isoformat().replace("+00:00", "Z"),
        "event_id": str(claim.event_id),
        "retry_count": claim.attempts,
        "data": claim.payload,
    }
    return json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode()


def judge(claim: Claim, answer: Answer, moment: datetime) -> tuple[DeliveryStatus, datetime | None]:
    """The state of a delivery after a response, and the time of the next attempt. A ping is sent once."""
    if is_success(answer.status):
        return DeliveryStatus.SUCCEEDED, None
    if claim.trigger == Trigger.PING or answer.status == GONE:
        return DeliveryStatus.EXHAUSTED, None
    asked = parse_retry_after((answer.headers or {}).get("retry-after"), moment)
    wait: timedelta | None = pause(claim.attempts + 1, random.random(), asked)  # noqa: S311 - no secret
    return (DeliveryStatus.FAILED, moment + wait) if wait else (DeliveryStatus.EXHAUSTED, None)


async def record(session: AsyncSession, results: Sequence[Recorded]) -> None:
    """Write attempts, and the resulting health of their endpoints."""
    health = WebhookHealth(session)
    bad = {one.claim.endpoint_id for one in results if one.status is not DeliveryStatus.SUCCEEDED}
    await health.lock({one.claim.endpoint_id for one in results}, bad)
    counted = [one for one in await WebhookClaims(session).record(results) if one.claim.trigger != Trigger.PING]
    good = {one.claim.endpoint_id for one in counted if one.status is DeliveryStatus.SUCCEEDED}
    if good:
        await health.succeeded(good)
    failed = {one.claim.endpoint_id: one for one in counted if one.status is not DeliveryStatus.SUCCEEDED}
    gone = {one.claim.endpoint_id for one in counted if one.response_status == GONE}
    for endpoint_id in sorted(failed):
        since = None
        if endpoint_id not in good:
            since = await health.failed(endpoint_id, failed[endpoint_id].started_at)
        reason = DisabledReason.GONE if endpoint_id in gone else DisabledReason.FAILING
        if (endpoint_id in gone or is_given_up(since, now())) and await health.disable(endpoint_id, reason):
            log.warning("webhook.disabled", endpoint_id=str(endpoint_id), reason=reason)
