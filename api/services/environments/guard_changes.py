"""Deciding about changes that weaken an environment's guards: by the approvals that its own rule asks for."""

from dataclasses import dataclass
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from api.auth.principal import Principal
from api.schemas.environments import EnvironmentPatch
from api.services.audit import row_entry
from api.services.environments.settings import apply_settings, settings_of
from api.services.humans import approver_of
from domain.approvals import ApprovalPolicy, Person, check_approver, is_approved
from domain.environment_settings import GuardChangeStatus, protection_of
from domain.errors import ConflictError, ErrorCode, NotFoundError
from domain.lifecycle import EnvironmentName
from runtime.ids import now
from storage.models import Environment, GuardChange
from storage.repositories.audit import AuditRepository
from storage.repositories.environments import EnvironmentRepository
from storage.repositories.guard_changes import GuardChangeRepository, status_of
from storage.repositories.projects import ProjectRepository


@dataclass(frozen=True)
class GuardChanges:
    """The changes of one environment, for one caller, in one transaction."""

    session: AsyncSession
    principal: Principal
    project_id: UUID
    name: EnvironmentName

    async def environment(self, *, lock: bool = False) -> Environment:
        """The environment they belong to.

        Raises:
            NotFoundError: no such project, or nothing was set for it yet.
        """
        await ProjectRepository(self.session, self.principal.tenant).get(self.project_id)
        environments = EnvironmentRepository(self.session, self.principal.tenant)
        row = await environments.named(self.project_id, self.name)
        if row is None:
            raise NotFoundError(f"nothing was set for {self.name} yet")
        return await environments.get(row.id, lock=True) if lock else row

    async def approve(self, change_id: UUID, reason: str) -> GuardChange:
        """One more yes; with the last one it is applied.

        Raises:
            NotFoundError: no such change.
            ForbiddenError: not this person: they asked for it themselves, or no human is known behind the principal.
            ConflictError: INVALID_STATE, it is decided or expired, or this human approved it already.
        """
        row, change = await self._pending(change_id)
        settings = settings_of(row)
        rule = ApprovalPolicy.model_validate(change.rule).stricter(protection_of(settings))
        requester = Person.model_validate(change.requester)
        approvals = [Person.model_validate(one) for one in change.approvals]
        person = await approver_of(self.session, self.principal, row.organization_id)
        check_approver(rule, requested_by=requester, approved_by=approvals, approver=person)
        change.approvals = [*change.approvals, person.model_dump(mode="json")]
        await self._note(row, "change_approved", change, reason)
        if is_approved(rule, [*approvals, person], requested_by=requester):
            patch = EnvironmentPatch.model_validate(change.changes)
            self._decide(change, GuardChangeStatus.APPLIED)
            await apply_settings(
                self.session, self.principal, row, settings.changed(patch.changes()), change_id=str(change.id)
            )
        return await self._written(change)

    async def reject(self, change_id: UUID, reason: str) -> GuardChange:
        """A single rejection ends the change; the requester may reject it, too.

        Raises:
            NotFoundError: no such change.
            ConflictError: INVALID_STATE, it is decided or expired.
        """
        row, change = await self._pending(change_id)
        self._decide(change, GuardChangeStatus.REJECTED)
        await self._note(row, "change_rejected", change, reason)
        return await self._written(change)

    async def _pending(self, change_id: UUID) -> tuple[Environment, GuardChange]:
        """Both locked: decisions follow each other, and settings do not change meanwhile."""
        row = await self.environment(lock=True)
        change = await GuardChangeRepository(self.session, self.principal.tenant).of(row.id, change_id, lock=True)
        status = status_of(change, now())
        if status is not GuardChangeStatus.PENDING:
            raise ConflictError(
                f"the change is {status}; ask for it anew", code=ErrorCode.INVALID_STATE, details={"state": status}
            )
        return row, change

    def _decide(self, change: GuardChange, status: GuardChangeStatus) -> None:
        change.status, change.decided_by, change.decided_at = status, self.principal.subject, now()

    async def _note(self, row: Environment, action: str, change: GuardChange, reason: str) -> None:
        details = {"change_id": str(change.id), "requested_by": change.requested_by}
        entry = row_entry(row, action, changes={}, reason=reason, details=details)
        await AuditRepository(self.session, self.principal.tenant).write(entry)

    async def _written(self, change: GuardChange) -> GuardChange:
        await self.session.flush()
        await self.session.refresh(change)
        return change
