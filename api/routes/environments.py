"""Environments of a project: what runs there, who has the turn, what is set for them."""

from uuid import UUID

from fastapi import APIRouter, Request, Response
from sqlalchemy.ext.asyncio import AsyncSession

from api.auth.permissions import DeploymentsApprove, DeploymentsRead
from api.commands import Idempotent
from api.envelope import Envelope, reply
from api.environments import SettingsChange, environment_views
from api.etags import Precondition
from api.parts import AppParts
from api.schemas.environments import EnvironmentPatch, EnvironmentView
from domain.lifecycle import EnvironmentName
from storage.engine import transaction
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
    async with transaction(parts.sessions) as session:
        views = await environment_views(session, parts.settings, principal, project_id, tuple(EnvironmentName))
    return reply(request, views)


@router.get(
    "/projects/{project_id}/environments/{name}",
    summary="Get an environment",
    response_model=Envelope[EnvironmentView],
)
async def get_environment(
    request: Request, parts: AppParts, principal: DeploymentsRead, project_id: UUID, name: EnvironmentName
) -> Response:
    """Its address and releases, who has the turn and who waits, its settings, whether a deployment may start now."""
    async with transaction(parts.sessions) as session:
        [view] = await environment_views(session, parts.settings, principal, project_id, (name,))
    return reply(request, view)


@router.patch(
    "/projects/{project_id}/environments/{name}",
    summary="Change an environment's settings",
    response_model=Envelope[EnvironmentView],
)
async def change_environment(
    *,
    request: Request,
    parts: AppParts,
    principal: DeploymentsApprove,
    command: Idempotent,
    precondition: Precondition,
    project_id: UUID,
    name: EnvironmentName,
    body: EnvironmentPatch,
) -> Response:
    """Policy, approval, windows; fields that are not given stay. Whoever a window holds learns of it at once."""
    change = SettingsChange(parts.settings, principal, project_id, name, body)

    async def view(session: AsyncSession) -> EnvironmentView:
        [found] = await environment_views(session, parts.settings, principal, project_id, (name,))
        return found

    async def carry_out(session: AsyncSession) -> Response:
        if precondition.given:
            # Held so that two who have seen the same do not both change it; the environment may have no row yet.
            await ProjectRepository(session, principal.tenant).get(project_id, lock=True)
            precondition.check(await view(session))
        await change.carry_out(session)
        return reply(request, await view(session))

    return await command.run(carry_out)
