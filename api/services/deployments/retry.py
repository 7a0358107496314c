"""Trying a finished deployment again, or promoting it: a new one is made of it; a finished one never runs again."""

from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from api.auth.principal import Principal
from api.services.audit import deployment_entry
from api.services.deployments.artifact_source import check_deployable, is_deployable
from api.services.deployments.create import Asked, Delivery
from api.services.deployments.options import DeploymentRequest
from api.services.deployments.rollback import invalid_state
from contracts.operations import BuildAndDeployInput
from domain.approvals import Action, check_recorded
from domain.errors import ConflictError
from domain.lifecycle import DeploymentStatus, EnvironmentName, OperationKind
from domain.permissions import Scope
from runtime.settings import Settings
from runtime.tracing import link
from storage.models import Build, Deployment, Operation
from storage.repositories.audit import AuditRepository
from storage.repositories.builds import BuildRepository
from storage.repositories.deployments import DeploymentRepository
from storage.repositories.operations import OperationRepository


@dataclass(frozen=True)
class Redelivery:
    """One request to make a new deployment of a finished one: `action` is retry or promote (without analysis)."""

    settings: Settings
    principal: Principal
    deployment_id: UUID
    action: Action
    reason: str
    request_approval: bool = False
    override_freeze: bool = False

    async def record(self, session: AsyncSession) -> Asked:
        """Write the new deployment's rows and the audit entry, in the caller's transaction.

        Raises:
            NotFoundError: no such deployment.
            ConflictError: INVALID_STATE, naming state and allowed actions; CONFLICT, naming the new deployment that
                another request made and that is under way.
            ForbiddenError: not this person, by the rules of a new deployment.
        """
        # Under its lock two requests follow each other: the second one finds the first one's deployment.
        deployments = DeploymentRepository(session, self.principal.tenant)
        old = await deployments.get(self.deployment_id, lock=True)
        check_recorded(DeploymentStatus(old.status), self.action)
        _check_alone(await deployments.unfinished_retry(old))
        operation = await OperationRepository(session, self.principal.tenant).get(old.operation_id)
        link(operation.traceparent)
        build = await self._build(session, old)
        wanted = self._request(old, operation.input)
        wanted.check(self.principal)
        asked = await self._ask(session, wanted, operation, build, old.git_commit_hash)
        await self._audit(session, old, asked.deployment)
        return asked

    async def _build(self, session: AsyncSession, old: Deployment) -> Build | None:
        if old.build_id is None:
            return None
        return await BuildRepository(session, self.principal.tenant).get(old.build_id)

    def _request(self, old: Deployment, order: dict[str, Any]) -> DeploymentRequest:
        """The same options; what needs an approval is asked for anew, and who may approve does so with the reason."""
        anew = {"skip_analysis": self.action is Action.PROMOTE, "override_freeze": self.override_freeze}
        wanted = DeploymentRequest(
            environment=EnvironmentName(old.environment),
            options=old.rollout_options.model_copy(update=anew),
            request_approval=self.request_approval,
            retry_of=old.id,
            reason=self.reason,
            notes_field="reason",
        )
        if wanted.environment is not EnvironmentName.PRODUCTION:
            return wanted
        waited = order.get("approval") is not None and not self.principal.may(Scope.DEPLOYMENTS_APPROVE)
        return replace(wanted, approval_notes=self.reason or None, request_approval=self.request_approval or waited)

    async def _ask(
        self,
        session: AsyncSession,
        wanted: DeploymentRequest,
        operation: Operation,
        build: Build | None,
        commit: str | None,
    ) -> Asked:
        """`commit`: what the old deployment fetched, or was to fetch."""
        delivery = Delivery(self.settings, self.principal, wanted)
        if build is not None and (is_deployable(build) or operation.kind != OperationKind.BUILD_AND_DEPLOY):
            check_deployable(build)
            return await delivery.deploy(session, build.id)
        if self.action is Action.PROMOTE:
            raise invalid_state(
                "there is no good build of this deployment to promote; retry builds the version again",
                str(build.status if build else "not built"),
            )
        # The commit that was fetched then, whatever became of the branch; its tip if nothing was fetched.
        order = BuildAndDeployInput.model_validate(operation.input)
        return await delivery.build_and_deploy(
            session,
            order.feature_id,
            version_tag=order.version_tag,
            git_branch=order.git_branch,
            git_commit_hash=build.git_commit_hash if build else commit,
        )

    async def _audit(self, session: AsyncSession, old: Deployment, new: Deployment) -> None:
        entry = deployment_entry(old, self.action, reason=self.reason, new_deployment_id=str(new.id))
        await AuditRepository(session, self.principal.tenant).write(entry)


def _check_alone(running: Deployment | None) -> None:
    if running is not None:
        raise ConflictError(
            f"deployment {running.id} was made of this one already and is {running.status}; wait for its end",
            details={"deployment_id": str(running.id), "state": running.status},
        )
