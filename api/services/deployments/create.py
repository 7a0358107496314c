"""Bringing a version into an environment: the rows of every way to ask for it."""

from dataclasses import dataclass, replace
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from api.auth.principal import Principal
from api.http.errors import TooOftenError
from api.services import audited_writes
from api.services.audit import deployment_entry
from api.services.deployments.artifact_source import (
    ArtifactSource,
    NewVersion,
    check_buildable,
    check_deployable,
    source_of,
)
from api.services.deployments.options import DeploymentRequest, required_approval
from api.services.deployments.start import place_of, record_operation
from api.services.deployments.version_tags import check_version_free
from api.services.environments.settings import (
    approval_of,
    check_environment,
    environment_host,
    made_environment,
    settings_of,
)
from api.services.humans import person_of
from api.services.organizations.status import refuse_inactive
from api.services.projects.lookup import active_project
from contracts.operations import OperationContext
from domain.lifecycle import DeploymentStatus
from orchestration.signing import signer_of
from runtime.ids import new_id
from runtime.settings import Settings
from storage.models import Deployment, Environment, Operation, Organization, Project
from storage.repositories.audit import AuditRepository
from storage.repositories.builds import BuildRepository
from storage.repositories.environments import EnvironmentRepository
from storage.repositories.features import FeatureRepository
from storage.repositories.operations import OperationRepository
from storage.repositories.organizations import OrganizationRepository
from storage.tenancy import PLATFORM

# Operations take minutes.
WAIT_S = 30


@dataclass(frozen=True)
class Asked:
    """Rows that stand for a request: its operation, and the deployment it makes."""

    operation: Operation
    deployment: Deployment


@dataclass(frozen=True)
class Delivery:
    """One request to bring something into an environment, which is checked already."""

    settings: Settings
    principal: Principal
    wanted: DeploymentRequest

    async def build_and_deploy(
        self,
        session: AsyncSession,
        feature_id: UUID,
        *,
        version_tag: str,
        git_branch: str | None,
        git_commit_hash: str | None,
    ) -> Asked:
        """Write the rows of a version that is built first, in the caller's transaction.

        Raises:
            NotFoundError: no such feature.
            ConflictError: DUPLICATE_RESOURCE, the version exists or is being built.
        """
        feature = await FeatureRepository(session, self.principal.tenant).get(feature_id)
        # The project's lock makes two requests for one version follow each other: the second one sees the first.
        project = await active_project(session, self.principal.tenant, feature.project_id)
        check_buildable(project)
        await check_version_free(session, self.principal.tenant, project, version_tag)
        source = NewVersion(feature.id, project.repository_url, version_tag, git_branch, git_commit_hash)
        source = replace(source, source_path=project.source_path)
        return await self._record(session, project, source)

    async def deploy(self, session: AsyncSession, build_id: UUID) -> Asked:
        """Write the rows of a build that goes live, in the caller's transaction.

        Raises:
            NotFoundError: no such build.
            ConflictError: INVALID_STATE, it cannot be deployed; the message says why.
        """
        build = await BuildRepository(session, self.principal.tenant).get(build_id)
        check_deployable(build)
        project = await active_project(session, self.principal.tenant, build.project_id)
        return await self._record(session, project, source_of(build, project))

    async def _record(self, session: AsyncSession, project: Project, source: ArtifactSource) -> Asked:
        """Environment, operation, deployment, audit entries and the start of the workflow: all of them or none."""
        tenant = self.principal.tenant
        organization = await OrganizationRepository(session, tenant).get(project.organization_id)
        refuse_inactive(organization)
        await self._check_room(session, organization)
        host = environment_host(self.settings, organization, project, self.wanted.environment)
        environments = EnvironmentRepository(session, tenant)
        environment = await made_environment(environments, project, self.wanted.environment, host)
        await check_environment(
            session, self.principal, environment, project, override_freeze=self.wanted.options.override_freeze
        )
        requester = await person_of(session, self.principal, project.organization_id)
        approval = required_approval(self.wanted, self.principal, approval_of(settings_of(environment)), requester)
        place = self._place(organization, project, environment, source.version_tag)
        order = source.order(place, self.wanted.options, approval)
        operation = await record_operation(session, signer_of(self.settings), source.kind, order, source.steps)
        deployment = self._deployment(place, source)
        await audited_writes.add(
            session, deployment, action="requested", reason=self.wanted.reason or self.wanted.approval_notes
        )
        await self._audit(session, deployment)
        return Asked(operation, deployment)

    async def _check_room(self, session: AsyncSession, organization: Organization) -> None:
        most = self.settings.operations_per_organization
        if await OperationRepository(session, PLATFORM).unfinished(organization.id, limit=most) >= most:
            raise TooOftenError(
                WAIT_S,
                f"{most} operations of your organization are not finished, which is the most; wait for some of them, "
                "or cancel them",
            )

    def _place(
        self, organization: Organization, project: Project, environment: Environment, version: str
    ) -> OperationContext:
        return place_of(
            operation_id=new_id(),
            deployment_id=new_id(),
            organization=organization,
            project=project,
            environment=environment,
            version=version,
            requested_by=self.principal.subject,
        )

    def _deployment(self, place: OperationContext, source: ArtifactSource) -> Deployment:
        return Deployment(
            id=place.deployment_id,
            organization_id=place.organization_id,
            project_id=place.project_id,
            environment_id=place.environment_id,
            feature_id=source.feature_id,
            build_id=source.build_id,
            operation_id=place.operation_id,
            environment=self.wanted.environment,
            rollout_options=self.wanted.options,
            approval_notes=self.wanted.approval_notes,
            request_approval=self.wanted.request_approval,
            reason=self.wanted.reason,
            version_tag=source.version_tag,
            git_branch=source.git_branch,
            git_commit_hash=source.git_commit_hash,
            status=DeploymentStatus.PENDING,
            retry_of=self.wanted.retry_of,
            requested_by=self.principal.subject,
        )

    async def _audit(self, session: AsyncSession, deployment: Deployment) -> None:
        """What goes past a rule has an entry of its own."""
        reason = self.wanted.reason or self.wanted.approval_notes
        options = self.wanted.options
        deeds = {"skip_analysis": options.skip_analysis, "override_freeze": options.override_freeze}
        for deed in (deed for deed, done in deeds.items() if done):
            entry = deployment_entry(deployment, deed, reason=reason)
            await AuditRepository(session, self.principal.tenant).write(entry)
