"""Rollback of a deployment: abort it while it runs; when it is live, bring back the release before it."""

import asyncio
import time
from dataclasses import dataclass
from functools import cached_property
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from api.auth.principal import Principal
from api.dependencies import AppState
from api.services.audit import deployment_entry
from api.services.deployments.actions import Decision
from api.services.deployments.start import place_of, try_start
from contracts.operations import RollbackInput, StepProgress
from domain.approvals import Action
from domain.errors import ConflictError, ErrorCode
from domain.lifecycle import (
    FINISHED_DEPLOYMENTS,
    FINISHED_OPERATIONS,
    DeploymentStatus,
    OperationKind,
    OperationStatus,
    StepName,
)
from orchestration.signing import signer_of
from runtime.ids import new_id
from runtime.tracing import link
from storage.engine import transaction
from storage.models import AuditEntry, Deployment, Operation
from storage.repositories.audit import AuditRepository
from storage.repositories.deployments import DeploymentRepository
from storage.repositories.environments import EnvironmentRepository
from storage.repositories.operations import OperationRepository
from storage.repositories.organizations import OrganizationRepository
from storage.repositories.projects import ProjectRepository
from storage.repositories.rollbacks import RollbackRepository

ANSWER_WITHIN_S = 10.0
LOOK_EVERY_S = 0.05
TAKEN_BACK = frozenset({DeploymentStatus.ROLLED_BACK, DeploymentStatus.CANCELLED})


def invalid_state(message: str, state: str) -> ConflictError:
    """The request is impossible in this state: 400, as the contract says."""
    return ConflictError(message, code=ErrorCode.INVALID_STATE, details={"state": state})


@dataclass(frozen=True)
class Rollback:
    """One request to roll a deployment back."""

    parts: AppState
    principal: Principal
    deployment_id: UUID
    reason: str
    key: str | None = None

    @cached_property
    def decision(self) -> Decision:
        """The decision to roll back a rollout under way."""
        return Decision(
            self.parts,
            self.principal,
            self.deployment_id,
            Action.ABORT,
            self.reason,
            self.key,
            asked="rollback",
        )

    async def record(self, session: AsyncSession) -> Operation:
        """The operation to wait for: the running one, which is asked to roll back, or a new one of kind rollback.

        Raises:
            ConflictError: INVALID_STATE, there is nothing to roll back; the message says why.
        """
        deployments = DeploymentRepository(session, self.principal.tenant)
        operations = OperationRepository(session, self.principal.tenant)
        deployment = await deployments.get(self.deployment_id)
        operation = await operations.get(deployment.operation_id)
        if operation.status not in FINISHED_OPERATIONS:
            # No row is locked here: the workflow writes these rows while it answers.
            order = await self._order(session, deployment)
            instead = {"order": order.model_dump(mode="json"), "steps": _steps()}
            await self.decision.keep_about(session, deployment, operation, instead=instead)
            return operation
        link(operation.traceparent)
        # One rollback at a time: the second request finds the first one's mark.
        deployment = await deployments.get(self.deployment_id, lock=True)
        if deployment.status == DeploymentStatus.ROLLING_BACK and deployment.rollback_operation_id is not None:
            return await operations.get(deployment.rollback_operation_id)
        return await self._begin(session, deployment)

    async def _begin(self, session: AsyncSession, deployment: Deployment) -> Operation:
        rollbacks = RollbackRepository(session, self.principal.tenant)
        await rollbacks.check(deployment)
        order = await self._order(session, deployment)
        entry = self._entry(deployment, operation_id=str(order.place.operation_id))  # with the state before
        operation = await rollbacks.begin(deployment, order.model_dump(mode="json"), _steps())
        await AuditRepository(session, self.principal.tenant).write(entry)
        return operation

    async def _order(self, session: AsyncSession, deployment: Deployment) -> RollbackInput:
        tenant = self.principal.tenant
        place = place_of(
            operation_id=new_id(),
            deployment_id=deployment.id,
            organization=await OrganizationRepository(session, tenant).get(deployment.organization_id),
            project=await ProjectRepository(session, tenant).get(deployment.project_id),
            environment=await EnvironmentRepository(session, tenant).get(deployment.environment_id),
            version=f"rollback-of-{deployment.version_tag or 'unknown'}",
            requested_by=self.principal.subject,
        )
        order = RollbackInput(place=place, reason=self.reason)
        return signer_of(self.parts.settings).order(OperationKind.ROLLBACK, order)

    def _entry(self, deployment: Deployment, **facts: Any) -> AuditEntry:
        return deployment_entry(deployment, "rollback", reason=self.reason, **facts)

    async def outcome(self, operation: Operation) -> Deployment | None:
        """The deployment once it is rolled back; None when that takes longer than ten seconds or fails.

        Raises:
            ConflictError: INVALID_STATE, the rollout ended meanwhile, and there is nothing to roll back.
        """
        if operation.kind != OperationKind.ROLLBACK:
            told = await self.decision.told()
            if told is None:
                return None
            if told.error is not None:
                raise told.error
        elif not await try_start(self.parts.operations, operation):
            return None
        deadline = time.monotonic() + ANSWER_WITHIN_S
        while time.monotonic() < deadline:
            async with transaction(self.parts.sessions) as session:
                deployment = await DeploymentRepository(session, self.principal.tenant).get(self.deployment_id)
                current = await OperationRepository(session, self.principal.tenant).get(operation.id)
            if deployment.status in TAKEN_BACK:
                return deployment
            if deployment.status in FINISHED_DEPLOYMENTS and OperationStatus(current.status) in FINISHED_OPERATIONS:
                return None
            await asyncio.sleep(LOOK_EVERY_S)
        return None


def _steps() -> list[dict[str, Any]]:
    return [StepProgress(name=StepName.ROLLOUT).model_dump(mode="json")]
