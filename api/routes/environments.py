"""Environments of a project: what runs there and who has the turn."""

from uuid import UUID

from fastapi import APIRouter, Request, Response
from sqlalchemy.ext.asyncio import AsyncSession

from api.auth.permissions import DeploymentsRead
from api.auth.principal import Principal
from api.envelope import Envelope, reply
from api.environments import environment_host
from api.parts import AppParts, Parts
from api.schemas.environments import EnvironmentView, LockView
from api.views import environment_view
from domain.lifecycle import EnvironmentName
from storage.engine import transaction
from storage.models import Environment
from storage.repositories.deployments import DeploymentRepository
from storage.repositories.environments import EnvironmentRepository
from storage.repositories.operations import OperationRepository
from storage.repositories.organizations import OrganizationRepository
from storage.repositories.projects import ProjectRepository

router = APIRouter(tags=["Environments"])


@router.get(
    "/projects/{project_id}/environments",
    summary="List a project's environments",
    response_model=Envelope[list[EnvironmentView]],
)
async def list_environments(
    request: Request, parts: AppParts, principal: DeploymentsRead, project_id: UUID
) -> Response:
    """All three, also those nothing was deployed into yet."""
    views = await _views(parts, principal, project_id, tuple(EnvironmentName))
    return reply(request, views)


@router.get(
    "/projects/{project_id}/environments/{name}",
    summary="Get an environment",
    response_model=Envelope[EnvironmentView],
)
async def get_environment(
    request: Request, parts: AppParts, principal: DeploymentsRead, project_id: UUID, name: EnvironmentName
) -> Response:
    """Its address, its current release, the one before, and who has the turn."""
    [view] = await _views(parts, principal, project_id, (name,))
    return reply(request, view)


async def _views(
    parts: Parts, principal: Principal, project_id: UUID, names: tuple[EnvironmentName, ...]
) -> list[EnvironmentView]:
    async with transaction(parts.sessions) as session:
        project = await ProjectRepository(session, principal.tenant).get(project_id)
        organization = await OrganizationRepository(session, principal.tenant).get(project.organization_id)
        environments = EnvironmentRepository(session, principal.tenant)
        made = await environments.of_project(project_id)
        ids = [found for row in made.values() for found in (row.current_release_id, row.previous_release_id) if found]
        releases = await environments.releases(ids) if ids else {}
        views = []
        for name in names:
            row = made.get(name)
            host = row.host if row else environment_host(parts.settings, organization, project, name)
            lock = await _lock(session, principal, row) if row else None
            views.append(
                environment_view(
                    settings=parts.settings,
                    project_id=project_id,
                    name=name,
                    host=host,
                    row=row,
                    releases=releases,
                    lock=lock,
                )
            )
        return views


async def _lock(session: AsyncSession, principal: Principal, row: Environment) -> LockView | None:
    if row.holder_deployment_id is None:
        return None
    deployment = await DeploymentRepository(session, principal.tenant).get(row.holder_deployment_id)
    operation_id = deployment.rollback_operation_id or deployment.operation_id
    operation = await OperationRepository(session, principal.tenant).get(operation_id)
    return LockView(
        deployment_id=deployment.id, operation_id=operation.id, version_tag=operation.input.get("version_tag")
    )
