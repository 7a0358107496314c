"""Actions on deployments in progress, stored until their outcome is known.

Each is a row of the outbox, written with its audit entry before it is sent to the workflow. The first to learn the
outcome settles it, once, with a further audit entry.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import func, or_, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from domain.approvals import UNKNOWN
from runtime.ids import new_id
from storage.models import AuditEntry, Deployment, Operation, OutboxEntry
from storage.repositories.audit import AuditRepository
from storage.repositories.outbox_claims import FIRST_RETRY, LAST_RETRY, MAX_ERROR, is_due
from storage.repositories.rollbacks import RollbackRepository
from storage.tenancy import PLATFORM

DECISION = "decision"
CANCELLED = "deployment.cancel"
# How long only the requester sends it; then a relay takes over.
ASKERS_TIME = timedelta(seconds=8)
# The lease of a claim: longer than one attempt takes. A row that is not due and has no error is claimed: only one
# sender at a time, or one sender's refusal could be stored after another's acceptance.
LEASE = timedelta(seconds=15)
# Why a rollback is retried later.
STILL_RUNNING = "the rollout cannot stop any more and is not over yet; it is taken back then"


@dataclass(frozen=True)
class Pending:
    """An action without outcome yet, and its operation."""

    entry: OutboxEntry
    operation: Operation


class DecisionRepository:
    """The actions of all tenants: permissions were checked before."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def add(
        self,
        decision_id: UUID,
        *,
        action: str,
        operation: Operation,
        intent: AuditEntry,
        request: dict[str, Any],
        key: str,
        instead: dict[str, Any] | None = None,
    ) -> None:
        """Store an action with its audit entry; one that is stored already stays as it is.

        `instead`: for a rollback, what to do if the rollout has passed its final switch (`RollbackRepository.instead`).
        """
        if await self._session.get(OutboxEntry, decision_id) is not None:
            return
        await AuditRepository(self._session, PLATFORM).write(intent)
        payload = {
            "request": request,
            "key": key,
            "intent_id": str(intent.id),
            "deployment_id": str(operation.resource_id),
            "actor": intent.actor,
            "credential": intent.credential,
            "address": intent.address,
            "request_id": intent.request_id,
            "asked": intent.action,
            "instead": instead,
        }
        entry = OutboxEntry(
            id=decision_id,
            organization_id=operation.organization_id,
            kind=DECISION,
            topic=action,
            resource_id=operation.id,
            payload=payload,
            due_at=func.now() + ASKERS_TIME,
        )
        self._session.add(entry)
        await self._session.flush()

    async def get(self, decision_id: UUID) -> Pending | None:
        """An action, settled or not; None: not stored (any more)."""
        entry = await self._session.get(OutboxEntry, decision_id)
        if entry is None or entry.kind != DECISION:
            return None
        operation = await self._session.get(Operation, entry.resource_id)
        return Pending(entry, operation) if operation else None

    async def due(self, *, of_one: int, limit: int) -> Sequence[tuple[UUID, UUID]]:
        """Due actions with their organizations, round-robin: the oldest of each organization, then the second of each.

        Args:
            of_one: maximum per organization.
            limit: maximum in total.
        """
        turn = func.row_number().over(
            partition_by=OutboxEntry.organization_id, order_by=(OutboxEntry.due_at, OutboxEntry.id)
        )
        ranked = (
            select(OutboxEntry.id, OutboxEntry.organization_id, OutboxEntry.due_at, turn.label("turn"))
            .where(OutboxEntry.kind == DECISION, OutboxEntry.done_at.is_(None), is_due())
            .subquery()
        )
        chosen = select(ranked.c.id, ranked.c.organization_id).where(ranked.c.turn <= of_one)
        found = await self._session.execute(chosen.order_by(ranked.c.turn, ranked.c.due_at, ranked.c.id).limit(limit))
        return [(row.id, row.organization_id) for row in found]

    async def claim(self, wanted: Sequence[UUID]) -> Sequence[Pending]:
        """Claim those that are still due, for `LEASE`: if a relay dies, the next one takes over."""
        due = (
            select(OutboxEntry.id)
            .where(OutboxEntry.id.in_(wanted), OutboxEntry.done_at.is_(None), is_due())
            .order_by(OutboxEntry.id)
            .with_for_update(skip_locked=True)
        )
        ids = list(await self._session.scalars(due))
        await self._session.execute(
            update(OutboxEntry).where(OutboxEntry.id.in_(ids)).values(due_at=func.now() + LEASE, last_error=None)
        )
        found = select(OutboxEntry, Operation).join(Operation, Operation.id == OutboxEntry.resource_id)
        rows = await self._session.execute(found.where(OutboxEntry.id.in_(ids)).order_by(OutboxEntry.id))
        return [Pending(entry, operation) for entry, operation in rows]

    async def claim_one(self, decision_id: UUID) -> bool:
        """Claim it for the requester, for `ASKERS_TIME`; False: another process is sending it now."""
        free = is_due() | OutboxEntry.last_error.is_not(None)
        claimed = await self._session.scalars(
            update(OutboxEntry)
            .where(OutboxEntry.id == decision_id, OutboxEntry.done_at.is_(None), free)
            .values(due_at=func.now() + ASKERS_TIME, last_error=None)
            .returning(OutboxEntry.id)
        )
        return claimed.first() is not None

    async def release(self, decision_id: UUID, error: str) -> None:
        """The sender got no answer: the next may try, a relay when it is due."""
        await self._session.execute(
            update(OutboxEntry)
            .where(OutboxEntry.id == decision_id, OutboxEntry.done_at.is_(None))
            .values(last_error=error[:MAX_ERROR])
        )

    async def later(self, decision_id: UUID, error: str) -> None:
        """The outcome is still unknown; retry with backoff."""
        pause = func.least(LAST_RETRY, FIRST_RETRY * func.power(2, func.least(OutboxEntry.attempts, 10)))
        await self._session.execute(
            update(OutboxEntry)
            .where(OutboxEntry.id == decision_id, OutboxEntry.done_at.is_(None))
            .values(attempts=OutboxEntry.attempts + 1, due_at=func.now() + pause, last_error=error[:MAX_ERROR])
        )

    async def settle(self, decision_id: UUID, outcome: Mapping[str, Any]) -> Mapping[str, Any] | None:
        """Store the outcome of an action; an outcome stored before stays and is returned.

        None: no outcome yet. A rollback that was accepted always happens: if the rollout cannot stop any more, it waits
        for its end and then rolls back the live release.
        """
        entry = await self._session.get(OutboxEntry, decision_id, with_for_update=True, populate_existing=True)
        if entry is None:
            return outcome
        if entry.outcome is not None:
            return entry.outcome
        if not outcome["accepted"] and (promised := entry.payload.get("instead")):
            done = await RollbackRepository(self._session, PLATFORM).instead(entry.resource_id, promised, outcome)
            if done is None:
                return None
            outcome = done
        entry.outcome, entry.done_at, entry.last_error = dict(outcome), func.now(), None
        await AuditRepository(self._session, PLATFORM).write(_outcome_entry(entry, outcome))
        if outcome["accepted"]:
            await self._accepted(entry)
        elif entry.payload["asked"] == CANCELLED and not await self._cancelled_otherwise(entry):
            await self._session.execute(
                update(Operation).where(Operation.id == entry.resource_id).values(cancel_requested_at=None)
            )
        await self._session.flush()
        return outcome

    async def _cancelled_otherwise(self, entry: OutboxEntry) -> bool:
        """Whether another request for the same at the same moment was accepted."""
        refused = OutboxEntry.outcome["accepted"].as_boolean().is_(False)
        others = select(OutboxEntry.id).where(
            OutboxEntry.kind == DECISION,
            OutboxEntry.resource_id == entry.resource_id,
            OutboxEntry.id != entry.id,
            OutboxEntry.payload["asked"].astext == CANCELLED,
            or_(OutboxEntry.outcome.is_(None), ~refused),
        )
        return await self._session.scalar(others.limit(1)) is not None

    async def _accepted(self, entry: OutboxEntry) -> None:
        """Copy an approval's notes to the deployment, unless its request had some."""
        if notes := entry.payload["request"].get("reason") if entry.topic == "approve" else None:
            await self._session.execute(
                update(Deployment)
                .where(Deployment.id == UUID(entry.payload["deployment_id"]), Deployment.approval_notes.is_(None))
                .values(approval_notes=notes)
            )


def _outcome_entry(entry: OutboxEntry, outcome: Mapping[str, Any]) -> AuditEntry:
    """`deployment.decided`: the workflow's answer, with the entry of the request."""
    told = entry.payload
    return AuditEntry(
        id=new_id(),
        organization_id=entry.organization_id,
        actor=told["actor"],
        credential=told["credential"],
        address=told["address"],
        request_id=told["request_id"],
        action="deployment.decided",
        resource_type="deployment",
        resource_id=UUID(told["deployment_id"]),
        reason=outcome.get("message"),
        changes={},
        details={
            "decision": told["asked"],
            "outcome": _word(outcome),
            "code": outcome.get("code"),
            "intent_id": told["intent_id"],
            "operation_id": outcome.get("operation_id") or str(entry.resource_id),
        },
    )


def _word(outcome: Mapping[str, Any]) -> str:
    if outcome["accepted"]:
        return "accepted"
    return UNKNOWN if outcome.get("details", {}).get("state") == UNKNOWN else "refused"
