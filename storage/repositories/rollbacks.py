"""Rollbacks of live releases: their rows, and the rollback promised by a rollout that could not stop."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from domain.errors import ConflictError, ErrorCode, NotFoundError
from domain.lifecycle import FINISHED_OPERATIONS, DeploymentStatus, OperationKind, OperationStatus
from runtime.ids import new_id
from storage.models import Deployment, Operation
from storage.repositories.deployments import DeploymentRepository
from storage.repositories.environments import EnvironmentRepository
from storage.repositories.outbox import OutboxRepository
from storage.repositories.projects import ProjectRepository
from storage.tenancy import Tenant

# Ends after which nothing of it is live, whatever caused them.
GONE = frozenset({DeploymentStatus.ROLLED_BACK, DeploymentStatus.CANCELLED, DeploymentStatus.SUPERSEDED})


class RollbackRepository:
    """Rollbacks of live deployments. The caller has locked the deployment: one rollback at a time."""

    def __init__(self, session: AsyncSession, tenant: Tenant) -> None:
        self._session = session
        self._tenant = tenant

    async def check(self, deployment: Deployment) -> None:
        """Raise `ConflictError` (INVALID_STATE) with the reason unless the deployment can be rolled back now."""
        # Its lock: a rollback comes before the project's removal, or after it, when nothing is live any more.
        await ProjectRepository(self._session, self._tenant).get(deployment.project_id, lock=True)
        environment = await EnvironmentRepository(self._session, self._tenant).get(deployment.environment_id)
        if deployment.status != DeploymentStatus.SUCCESS:
            raise _impossible(deployment, f"is {deployment.status}; only one that runs or is live can be rolled back")
        deployments = DeploymentRepository(self._session, self._tenant)
        release = await deployments.release_of(deployment)
        if release is None or environment.current_release_id != release.id:
            raise _impossible(deployment, f"is no longer what is live in {environment.name}; roll back the current one")
        if await deployments.rollback_target(release) is None:
            raise ConflictError(
                "there is no older healthy release of another build to roll back to; deploy a good version instead",
                code=ErrorCode.INVALID_STATE,
                details={"state": deployment.status},
            )

    async def begin(self, deployment: Deployment, order: Mapping[str, Any], steps: list[dict[str, Any]]) -> Operation:
        """Insert the rollback of a checked deployment, and its start.

        Args:
            deployment: the one to roll back; its row shows that from now on.
            order: the workflow's input as JSON; its place names the operation.
            steps: the operation's steps as JSON.
        """
        place = order["place"]
        operation = Operation(
            id=UUID(place["operation_id"]),
            organization_id=deployment.organization_id,
            project_id=deployment.project_id,
            environment=deployment.environment,
            kind=OperationKind.ROLLBACK,
            status=OperationStatus.PENDING,
            resource_id=deployment.id,
            resource_type="deployment",
            steps=steps,
            input=dict(order),
            named_workflow_id=place.get("named_workflow_id"),  # promised by an older release, without it
            requested_by=place["requested_by"],
        )
        self._session.add(operation)
        await self._session.flush()
        await OutboxRepository(self._session).start_workflow(
            new_id(),
            organization_id=deployment.organization_id,
            topic=OperationKind.ROLLBACK,
            operation_id=operation.id,
            payload=dict(order),
        )
        deployment.status = DeploymentStatus.ROLLING_BACK
        deployment.rollback_operation_id = operation.id
        deployment.rollback_reason = order["reason"]
        return operation

    async def instead(
        self, operation_id: UUID, promised: Mapping[str, Any], refused: Mapping[str, Any]
    ) -> Mapping[str, Any] | None:
        """The outcome of a rollback that a rollout refused: it rolls back what is live once the rollout is over.

        Args:
            operation_id: the rollout's.
            promised: `order` and `steps` for `begin`, as kept with the request.
            refused: the answer of the rollout's workflow.

        Returns:
            The outcome, with the `operation_id` of a rollback; None: the rollout is not over yet.
        """
        operation = await self._session.get_one(Operation, operation_id)
        if operation.status not in FINISHED_OPERATIONS:
            return None
        try:
            deployment = await DeploymentRepository(self._session, self._tenant).get(operation.resource_id, lock=True)
            if deployment.status in GONE:
                return {"accepted": True}
            if deployment.status != DeploymentStatus.ROLLING_BACK:
                await self.check(deployment)
                await self.begin(deployment, promised["order"], promised["steps"])
        except (ConflictError, NotFoundError) as error:
            return {**refused, "message": error.message, "details": error.details}
        return {"accepted": True, "operation_id": str(deployment.rollback_operation_id)}


def _impossible(deployment: Deployment, why: str) -> ConflictError:
    return ConflictError(
        f"the deployment {why}", code=ErrorCode.INVALID_STATE, details={"state": str(deployment.status)}
    )
