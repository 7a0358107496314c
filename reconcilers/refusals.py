"""Writes refused messages to workflows into the log and the audit log. The refusing code cannot wait for that."""

from typing import Final
from uuid import UUID

import structlog

from activities.refusals import Refusal, Refusals
from contracts.names import operation_of
from runtime.ids import new_id
from runtime.reconciler import Reconciler
from storage.engine import Sessions, transaction
from storage.models import AuditEntry, Operation
from storage.repositories.audit import AuditRepository
from storage.tenancy import PLATFORM

log = structlog.get_logger(__name__)

ACTION: Final = "operation.forged"
ACTOR: Final = "system"
# In one pass: thousands of refused messages must not fill the audit log. The log line counts the others.
MOST: Final = 20
MAX_WORD: Final = 255


class RefusalAudit(Reconciler):
    """Records what this process refused."""

    name = "refusal_audit"
    interval_s = 1.0
    limit_s = 60.0
    begins_at_once = False

    def __init__(self, sessions: Sessions, refusals: Refusals) -> None:
        super().__init__()
        self._sessions = sessions
        self._refusals = refusals

    async def reconcile(self) -> int:
        """Returns how many audit entries it wrote."""
        taken = self._refusals.take()
        for refusal, times in taken.most_common(MOST):
            log.error(
                ACTION,
                workflow_id=refusal.workflow_id[:MAX_WORD],
                asked=refusal.asked,
                claimed_actor=refusal.actor[:MAX_WORD],
                why=refusal.why,
                times=times,
            )
        told = taken.most_common(MOST)
        if len(taken) > MOST:
            log.error("refusals.more", count=len(taken) - MOST)
        if told:
            async with transaction(self._sessions) as session:
                for refusal, times in told:
                    operation_id = operation_of(refusal.workflow_id)
                    row = await session.get(Operation, operation_id) if operation_id else None
                    await AuditRepository(session, PLATFORM).write(_entry(refusal, times, operation_id, row))
        return len(told)


def _entry(refusal: Refusal, times: int, operation_id: UUID | None, row: Operation | None) -> AuditEntry:
    return AuditEntry(
        id=new_id(),
        organization_id=row.organization_id if row else None,
        actor=ACTOR,
        action=ACTION,
        resource_type="operation",
        resource_id=operation_id,
        reason=refusal.why,
        changes={},
        details={
            "asked": refusal.asked[:MAX_WORD],
            "claimed_actor": refusal.actor[:MAX_WORD],
            "workflow_id": refusal.workflow_id[:MAX_WORD],
            "times": times,
        },
    )
