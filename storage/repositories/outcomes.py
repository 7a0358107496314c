"""Ends of operations and deployments: events, and the outcome in the audit log."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from domain.events import EventType, event_id
from domain.lifecycle import FINISHED_DEPLOYMENTS, DeploymentStatus
from runtime.ids import now
from storage.models import AuditEntry, Deployment, Operation
from storage.repositories.audit import AuditRepository
from storage.repositories.event_writer import EventWriter
from storage.tenancy import PLATFORM

SYSTEM = "system"
EVENTS = {
    DeploymentStatus.AWAITING_APPROVAL: EventType.DEPLOYMENT_APPROVAL_REQUESTED,
    **dict.fromkeys(FINISHED_DEPLOYMENTS, EventType.DEPLOYMENT_COMPLETED),
}


@dataclass(frozen=True)
class Cause:
    """The cause of a deployment's transition: an operation at a progress version; its last step was at `moment`."""

    operation_id: UUID
    version: int
    moment: datetime

    def id_of(self, row: Deployment, kind: str) -> UUID:
        """The id of everything written about this transition of the deployment."""
        return event_id(self.moment, row.id, kind, self.operation_id, order=self.version)


class OutcomeRepository:
    """Written with the transition, in its transaction; the ids are the same on a retry."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session
        self._events = EventWriter(session)

    async def operation(self, row: Operation) -> None:
        """An operation has finished."""
        await self._events.operation_completed(row, row.completed_at or now())

    async def deployment(self, row: Deployment, before: DeploymentStatus, cause: Cause) -> None:
        """A deployment has changed its status; its row is locked."""
        begins = row.status == DeploymentStatus.IN_PROGRESS and before is not DeploymentStatus.PAUSED
        kind = EventType.DEPLOYMENT_STARTED if begins else EVENTS.get(DeploymentStatus(row.status))
        if kind is None:
            return
        await self._session.flush()
        await self._session.refresh(row)
        await self._events.deployment(kind, row, cause.id_of(row, kind))
        if row.status in FINISHED_DEPLOYMENTS:
            await AuditRepository(self._session, PLATFORM).write_once(_entry(row, before, cause))


def _entry(row: Deployment, before: DeploymentStatus, cause: Cause) -> AuditEntry:
    """`deployment.succeeded`, `deployment.failed` and so on. The request's entry names the requester."""
    ended = "succeeded" if row.status == DeploymentStatus.SUCCESS else row.status
    error = row.error or {}
    return AuditEntry(
        id=cause.id_of(row, "outcome"),
        organization_id=row.organization_id,
        actor=SYSTEM,
        credential=f"workflow:{cause.operation_id}",
        action=f"deployment.{ended}",
        resource_type="deployment",
        resource_id=row.id,
        reason=row.rollback_reason if row.status == DeploymentStatus.ROLLED_BACK else error.get("message"),
        changes={"status": {"from": before, "to": row.status}},
        details={"operation_id": str(cause.operation_id), "code": error.get("code")},
    )
