"""What people decide about a deployment under way: checked, told to its workflow, written in the audit log."""

from dataclasses import dataclass
from functools import partial
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from api.auditing import audited, deployment_entry
from api.auth.principal import Principal
from api.parts import Parts
from api.rollbacks import ensure_started
from contracts.operations import AbortRequest, PersonRequest
from domain.lifecycle import FINISHED_OPERATIONS, DeploymentStatus
from domain.people import Action, Phase, check_action, check_recorded
from storage.models import AuditEntry, Deployment
from storage.repositories.deployments import DeploymentRepository
from storage.repositories.operations import OperationRepository


@dataclass(frozen=True)
class Decision:
    """One person's decision about one deployment. `key`: sent again under it, it is the same decision."""

    parts: Parts
    principal: Principal
    deployment_id: UUID
    action: Action
    reason: str
    request_id: str
    key: str | None = None

    async def is_too_late(self, session: AsyncSession) -> bool:
        """Whether the deployment is finished, so that no workflow hears this any more."""
        deployment = await DeploymentRepository(session, self.principal.tenant).get(self.deployment_id)
        operation = await OperationRepository(session, self.principal.tenant).get(deployment.operation_id)
        return operation.status in FINISHED_OPERATIONS

    async def carry_out(self, session: AsyncSession) -> Deployment:
        """Tell the workflow; the audit entry stands if it accepted.

        Raises:
            ConflictError: INVALID_STATE, naming the state and the allowed actions.
            ForbiddenError: not this person (four eyes).
            DependencyError: the workflow did not answer; what it was told may still be carried out.
        """
        deployment = await DeploymentRepository(session, self.principal.tenant).get(self.deployment_id)
        operation = await OperationRepository(session, self.principal.tenant).get(deployment.operation_id)
        if operation.status in FINISHED_OPERATIONS:
            check_recorded(DeploymentStatus(deployment.status), self.action)
            check_action(Phase.FINISHED, self.action)
        await ensure_started(self.parts, operation)
        entry = partial(self._entry, deployment)
        async with audited(self.parts.sessions, session, self.principal.tenant, entry):
            await self._tell(operation.id)
        return deployment

    async def _tell(self, operation_id: UUID) -> None:
        actor = self.principal.subject
        if self.action is Action.ABORT:
            await self.parts.operations.abort(operation_id, AbortRequest(actor=actor, reason=self.reason))
            return
        request = PersonRequest(actor=actor, reason=self.reason)
        await self.parts.operations.decide(operation_id, self.action, request, key=self.key or self.request_id)

    def _entry(self, deployment: Deployment, **facts: Any) -> AuditEntry:
        return deployment_entry(
            self.principal, deployment, self.action, reason=self.reason, request_id=self.request_id, **facts
        )
