"""Messages to Temporal that the API never accepted are refused; each makes a log line and an audit entry.

Validators and activities note it in memory, since neither may wait for a database; a loop of the worker writes it down.
"""

import asyncio
from collections import Counter, deque
from dataclasses import dataclass
from typing import Final
from uuid import UUID

import structlog

from activities.records import operation_of
from domain.errors import DeliveryError
from runtime.ids import new_id
from storage.engine import Sessions, transaction
from storage.models import AuditEntry, Operation
from storage.repositories.audit import AuditRepository
from storage.tenancy import PLATFORM

log = structlog.get_logger(__name__)

ACTION: Final = "operation.forged"
ACTOR: Final = "system"
LOOK_EVERY_S: Final = 1.0
# Of one look: whoever sends thousands must not fill the audit log with them. The log line counts the others.
MOST: Final = 20
KEPT: Final = 1000
MAX_WORD: Final = 255


@dataclass(frozen=True)
class Refusal:
    """One attempt. `actor` is who it said it was of."""

    workflow_id: str
    asked: str
    actor: str
    why: str


class Refusals:
    """Refusals not yet in the database, in a bounded buffer that drops the oldest. Thread-safe."""

    def __init__(self) -> None:
        self._noted: deque[Refusal] = deque(maxlen=KEPT)

    def add(self, refusal: Refusal) -> None:
        """Note one."""
        self._noted.append(refusal)

    def take(self) -> Counter[Refusal]:
        """All of them, each with how often it was tried."""
        taken: Counter[Refusal] = Counter()
        while self._noted:
            taken[self._noted.popleft()] += 1
        return taken


class RefusalLog:
    """Writes them down, until cancelled."""

    def __init__(self, sessions: Sessions, refusals: Refusals) -> None:
        self._sessions = sessions
        self._refusals = refusals

    async def run(self) -> None:
        """Look every second."""
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            try:
                await self.write()
            except DeliveryError as error:
                log.warning("refusals.not_audited", reason=error.message)
            except Exception:
                log.exception("refusals.fault")

    async def write(self) -> int:
        """Write down what was noted; returns how many entries it made."""
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
