"""Asking for a build-and-deploy: the rules a schema cannot say, and the rows."""

from dataclasses import dataclass
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from api.auth.principal import Principal
from api.environments import environment_host
from api.errors import InvalidRequestError
from api.schemas.deployments import BuildAndDeployRequest
from api.schemas.projects import ProjectStatus, RepositoryType
from api.starts import place_of, record_operation
from contracts.operations import BuildAndDeployInput
from domain.access import Scope
from domain.errors import ConflictError, ErrorCode, UnprocessableError
from domain.lifecycle import DeploymentStatus, EnvironmentName, OperationKind, StepName, Strategy
from domain.people import ApprovalPolicy
from runtime.ids import new_id
from runtime.settings import Settings
from storage.models import Deployment, Feature, Operation, Project
from storage.repositories.builds import BuildRepository
from storage.repositories.environments import EnvironmentRepository
from storage.repositories.features import FeatureRepository
from storage.repositories.operations import OperationRepository
from storage.repositories.organizations import OrganizationRepository
from storage.repositories.projects import ProjectRepository


def check_delivery(principal: Principal, body: BuildAndDeployRequest) -> None:
    """Raise what is wrong with a request before anything is written."""
    _check_canary(body)
    if body.environment is EnvironmentName.PRODUCTION and not body.request_approval:
        principal.require(Scope.DEPLOYMENTS_APPROVE)
        if not (body.approval_notes or "").strip():
            raise InvalidRequestError("approval_notes", "is required for production", code="missing")


def _check_canary(body: BuildAndDeployRequest) -> None:
    canary = body.deployment_strategy is Strategy.CANARY
    if canary and body.canary_percentage is None:
        raise InvalidRequestError("canary_percentage", "is required for canary", code="missing")
    if body.canary_percentage == 0:
        raise UnprocessableError("a dark launch (canary_percentage 0) arrives with a later release; use 1 to 100")
    if not canary and body.canary_percentage is not None:
        raise InvalidRequestError("canary_percentage", "is only for canary", code="unexpected")


@dataclass(frozen=True)
class Delivery:
    """One request to build and deploy a feature."""

    settings: Settings
    principal: Principal
    feature_id: UUID
    body: BuildAndDeployRequest

    async def record(self, session: AsyncSession) -> Operation:
        """Write environment, operation, deployment and the start of the workflow, in the caller's transaction.

        Raises:
            NotFoundError: no such feature.
            ConflictError: DUPLICATE_RESOURCE, the version exists or is being built.
        """
        tenant = self.principal.tenant
        feature = await FeatureRepository(session, tenant).get(self.feature_id)
        # The project's lock makes two requests for one version follow each other: the second one sees the first.
        project = await ProjectRepository(session, tenant).get(feature.project_id, lock=True)
        organization = await OrganizationRepository(session, tenant).get(project.organization_id)
        await self._check_project(session, project)
        host = environment_host(self.settings, organization, project, self.body.environment)
        environment = await EnvironmentRepository(session, tenant).get_or_create(
            new_id(), project, self.body.environment, host
        )
        place = place_of(
            operation_id=new_id(),
            deployment_id=new_id(),
            organization=organization,
            project=project,
            environment=environment,
            requested_by=self.principal.subject,
        )
        order = BuildAndDeployInput(
            place=place,
            feature_id=feature.id,
            repository_url=project.repository_url,
            version_tag=self.body.version_tag,
            git_branch=self.body.git_branch,
            git_commit_hash=self.body.git_commit_hash,
            strategy=self.body.deployment_strategy,
            canary_percentage=self.body.canary_percentage,
            approval=ApprovalPolicy() if self.body.request_approval else None,
        )
        operation = await record_operation(session, OperationKind.BUILD_AND_DEPLOY, place, order, tuple(StepName))
        session.add(self._deployment(operation, feature, environment.id))
        await session.flush()
        return operation

    async def _check_project(self, session: AsyncSession, project: Project) -> None:
        if project.status != ProjectStatus.ACTIVE:
            raise ConflictError(
                f"the project is {project.status}; only active projects are deployed", code=ErrorCode.INVALID_STATE
            )
        if project.repository_type != RepositoryType.GIT:
            raise UnprocessableError(f"repositories of type {project.repository_type} cannot be built; only git can")
        tag, tenant = self.body.version_tag, self.principal.tenant
        build = await BuildRepository(session, tenant).with_version(project.id, tag)
        if build is not None:
            raise ConflictError(
                f"version {tag} is build {build.build_number} of this project already; choose another version_tag",
                code=ErrorCode.DUPLICATE_RESOURCE,
                details={"build_id": str(build.id)},
            )
        running = await OperationRepository(session, tenant).building(project.id, tag)
        if running is not None:
            raise ConflictError(
                f"version {tag} is being built by operation {running.id}; wait for it or choose another version_tag",
                code=ErrorCode.DUPLICATE_RESOURCE,
                details={"operation_id": str(running.id)},
            )

    def _deployment(self, operation: Operation, feature: Feature, environment_id: UUID) -> Deployment:
        return Deployment(
            id=operation.resource_id,
            organization_id=feature.organization_id,
            project_id=feature.project_id,
            environment_id=environment_id,
            feature_id=feature.id,
            operation_id=operation.id,
            environment=self.body.environment,
            deployment_strategy=self.body.deployment_strategy,
            canary_percentage=self.body.canary_percentage,
            approval_notes=self.body.approval_notes,
            status=DeploymentStatus.PENDING,
            requested_by=self.principal.subject,
        )
