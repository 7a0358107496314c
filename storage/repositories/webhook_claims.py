"""Due deliveries, claimed by one worker at a time, and the results of their attempts."""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import RowMapping, Uuid, bindparam, func, insert, select, text, update
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.ext.asyncio import AsyncSession

from domain.webhooks import DeliveryStatus
from storage.models import Event, Organization, WebhookAttempt, WebhookDelivery, WebhookEndpoint
from storage.repositories.webhooks import DELETED

# The lease: longer than an attempt (15 s) and its record take. A holder beyond it counts as dead.
LEASE = timedelta(seconds=25)
# Tolerance between the clock of Temporal, which times retries, and that of the database.
CLOCKS_DIFFER = timedelta(seconds=5)
# No lease is this long: a later one was written before the clock was set back.
NEVER_SO_FAR = timedelta(seconds=60)


@dataclass(frozen=True)
class Claim:
    """A delivery that we may attempt until `lease`; secrets are encrypted."""

    delivery_id: UUID
    endpoint_id: UUID
    organization_id: UUID
    event_id: UUID
    event: str
    trigger: str
    attempts: int
    lease: datetime
    url: str
    secret: bytes
    previous_secret: bytes | None
    previous_secret_until: datetime | None
    payload: dict[str, Any]
    occurred_at: datetime


@dataclass(frozen=True)
class Recorded:
    """One attempt, and the state of its delivery after it."""

    claim: Claim
    url: str
    started_at: datetime
    duration_ms: int
    request_headers: dict[str, str]
    response_status: int | None
    response_headers: dict[str, str] | None
    response_body: str | None
    error: str | None
    status: DeliveryStatus
    next_attempt_at: datetime | None
    completed_at: datetime | None

    @property
    def number(self) -> int:
        """The number of this attempt, from 1."""
        return self.claim.attempts + 1


# Finds endpoints with pending deliveries by a loose scan of the partial index, then the first few of each that no
# earlier delivery of their resource blocks. `room`: how many more an endpoint may have in progress. `turn`: the
# position among its organization's deliveries in progress; low ones come first, so that no organization takes all.
_DUE = """
WITH RECURSIVE busy(id) AS (
    (SELECT endpoint_id FROM webhook_deliveries WHERE status = 'pending' ORDER BY endpoint_id LIMIT 1)
    UNION ALL
    SELECT (SELECT d.endpoint_id FROM webhook_deliveries d
            WHERE d.status = 'pending' AND d.endpoint_id > busy.id ORDER BY d.endpoint_id LIMIT 1)
    FROM busy WHERE busy.id IS NOT NULL
),
taken AS (
    SELECT e.id, e.organization_id, given.count
    FROM unnest(:endpoints, CAST(:counts AS integer[])) AS given(id, count)
    JOIN webhook_endpoints e ON e.id = given.id
),
wanted AS (
    SELECT e.id, e.status, e.organization_id,
           (CASE WHEN e.first_failure_at IS NULL THEN :most ELSE :few END) - coalesce(taken.count, 0) AS room
    FROM busy
    JOIN webhook_endpoints e ON e.id = busy.id
    LEFT JOIN taken ON taken.id = e.id
)
SELECT fair.id
FROM (
SELECT due.id, due.sequence,
       coalesce((SELECT sum(count) FROM taken WHERE taken.organization_id = wanted.organization_id), 0)
           + row_number() OVER (PARTITION BY wanted.organization_id ORDER BY due.sequence) AS turn
FROM wanted
CROSS JOIN LATERAL (
    SELECT d.id, d.sequence
    FROM (
        SELECT * FROM webhook_deliveries
        WHERE endpoint_id = wanted.id AND status = 'pending' ORDER BY sequence LIMIT CAST(:window AS bigint)
    ) d
    WHERE (d.locked_until IS NULL OR d.locked_until < now() OR d.locked_until > now() + :never_so_far)
      AND (wanted.status = 'enabled' OR (d.trigger = 'ping' AND wanted.status = 'disabled'))
      AND (NOT d.ordered OR NOT EXISTS (
          SELECT 1 FROM webhook_deliveries f
          WHERE f.endpoint_id = d.endpoint_id AND f.resource_id = d.resource_id AND f.sequence < d.sequence
            AND f.ordered AND f.status IN ('pending', 'failed')
      ))
    ORDER BY d.sequence
    LIMIT wanted.room
) due
WHERE wanted.room > 0
) fair
WHERE fair.turn <= :free
ORDER BY fair.turn, fair.sequence
LIMIT :free
"""
_WHOLE = (
    WebhookDelivery.id.label("delivery_id"),
    WebhookDelivery.endpoint_id,
    WebhookDelivery.organization_id,
    WebhookDelivery.event_id,
    WebhookDelivery.event,
    WebhookDelivery.trigger,
    WebhookDelivery.attempts,
    WebhookDelivery.locked_until.label("lease"),
    WebhookEndpoint.url,
    WebhookEndpoint.secret,
    WebhookEndpoint.previous_secret,
    WebhookEndpoint.previous_secret_until,
    Event.payload,
    Event.occurred_at,
)
_RECORD = """
UPDATE webhook_deliveries d
SET status = r.status, attempts = d.attempts + 1, next_attempt_at = r.next_attempt_at, completed_at = r.completed_at,
    last_status = r.response_status, last_error = r.error, locked_until = NULL
FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS r(
    id uuid, lease timestamptz, status text, next_attempt_at timestamptz, completed_at timestamptz,
    response_status integer, error text
)
WHERE d.id = r.id AND d.locked_until = r.lease AND d.status IN ('pending', 'failed')
RETURNING d.id
"""


class WebhookClaims:
    """Across all tenants, for the relay and for retries."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def claim(
        self, taken: Mapping[UUID, int], *, most: int, few: int, free: int, window: int | None
    ) -> list[Claim]:
        """Claim due first attempts: fairly among organizations, the oldest first within each.

        Args:
            taken: our attempts in progress, by endpoint.
            most: our maximum in progress per endpoint.
            few: the same for an endpoint whose last attempt failed.
            free: maximum in total, and in progress per organization.
            window: number of deliveries to check in an endpoint's queue; None: all.
        """
        parameters = {
            "endpoints": list(taken),
            "counts": list(taken.values()),
            "most": most,
            "few": few,
            "free": free,
            "never_so_far": NEVER_SO_FAR,
            "window": window,
        }
        statement = text(_DUE).bindparams(bindparam("endpoints", type_=ARRAY(Uuid)))
        ids = list(await self._session.scalars(statement, parameters))
        return await self._take(ids, DeliveryStatus.PENDING) if ids else []

    async def retry(self, delivery_id: UUID, number: int) -> Claim | None:
        """Claim attempt `number` of a failed delivery; None if it is made already, in progress, or not wanted any more.

        Also None before its due time: otherwise anybody with access to Temporal could use up a receiver's attempts.
        """
        due = WebhookDelivery.next_attempt_at
        is_due = due.is_(None) | (due <= func.now() + CLOCKS_DIFFER)
        there = select(WebhookEndpoint.id).where(WebhookEndpoint.status != DELETED)
        wanted = (WebhookDelivery.attempts == number - 1, WebhookDelivery.endpoint_id.in_(there), is_due)
        found = await self._take([delivery_id], DeliveryStatus.FAILED, *wanted)
        return found[0] if found else None

    async def look(self, delivery_id: UUID) -> WebhookDelivery | None:
        """The state of a delivery."""
        return await self._session.get(WebhookDelivery, delivery_id, populate_existing=True)

    async def record(self, results: Sequence[Recorded]) -> list[Recorded]:
        """Write attempts; returns those that counted. The leases of the others expired: another worker has them."""
        rows = json.dumps([_row(result) for result in results])
        counted = set(await self._session.scalars(text(_RECORD), {"rows": rows}))
        ours = [result for result in results if result.claim.delivery_id in counted]
        if ours:
            await self._session.execute(insert(WebhookAttempt), [_attempt(result) for result in ours])
        return ours

    async def not_handed_over(
        self, *, limit: int, overdue: timedelta, without: Collection[UUID] = ()
    ) -> Sequence[RowMapping]:
        """Failed deliveries without a retry workflow: none was started, or it has made no progress for too long.

        `without`: ids to leave out, so that they do not block the others.
        """
        silent = WebhookDelivery.workflow_started_at < func.now() - overdue
        late = WebhookDelivery.next_attempt_at < func.now() - overdue
        found = await self._session.execute(
            select(
                WebhookDelivery.id,
                WebhookDelivery.endpoint_id,
                WebhookDelivery.event,
                WebhookDelivery.attempts,
                WebhookDelivery.next_attempt_at,
                WebhookEndpoint.url,
                Organization.slug,
            )
            .join(WebhookEndpoint, WebhookEndpoint.id == WebhookDelivery.endpoint_id)
            .join(Organization, Organization.id == WebhookDelivery.organization_id)
            .where(
                WebhookDelivery.status == DeliveryStatus.FAILED,
                WebhookDelivery.workflow_started_at.is_(None) | (silent & late),
                WebhookDelivery.id.not_in(without),
                WebhookEndpoint.status != DELETED,
            )
            .order_by(WebhookDelivery.next_attempt_at)
            .limit(limit)
        )
        return found.mappings().all()

    async def handed_over(self, ids: Sequence[UUID]) -> None:
        """Record that workflows make the retries of these from now on."""
        await self._session.execute(
            update(WebhookDelivery).where(WebhookDelivery.id.in_(ids)).values(workflow_started_at=func.now())
        )

    async def _take(self, ids: Sequence[UUID], status: DeliveryStatus, *more: Any) -> list[Claim]:
        """Lock those that no other worker has taken meanwhile."""
        lease = WebhookDelivery.locked_until
        is_free = lease.is_(None) | (lease < func.now()) | (lease > func.now() + NEVER_SO_FAR)
        free = (
            select(WebhookDelivery.id)
            .where(WebhookDelivery.id.in_(ids), WebhookDelivery.status == status, is_free, *more)
            .with_for_update(skip_locked=True)
        )
        ours = update(WebhookDelivery).where(WebhookDelivery.id.in_(free)).values(locked_until=func.now() + LEASE)
        taken = list(await self._session.scalars(ours.returning(WebhookDelivery.id)))
        if not taken:
            return []
        found = await self._session.execute(
            select(*_WHOLE)
            .join(WebhookEndpoint, WebhookEndpoint.id == WebhookDelivery.endpoint_id)
            .join(Event, Event.id == WebhookDelivery.event_id)
            .where(WebhookDelivery.id.in_(taken))
            .order_by(WebhookDelivery.sequence)
        )
        return [Claim(**row) for row in found.mappings()]


def _row(result: Recorded) -> dict[str, Any]:
    def moment(value: datetime | None) -> str | None:
        return value.isoformat() if value else None

    return {
        "id": str(result.claim.delivery_id),
        "lease": result.claim.lease.isoformat(),
        "status": result.status,
        "next_attempt_at": moment(result.next_attempt_at),
        "completed_at": moment(result.completed_at),
        "response_status": result.response_status,
        "error": result.error,
    }


def _attempt(result: Recorded) -> dict[str, Any]:
    return {
        "delivery_id": result.claim.delivery_id,
        "number": result.number,
        "url": result.url,
        "started_at": result.started_at,
        "duration_ms": result.duration_ms,
        "request_headers": result.request_headers,
        "response_status": result.response_status,
        "response_headers": result.response_headers,
        "response_body": result.response_body,
        "error": result.error,
    }
