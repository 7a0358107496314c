"""Projects: delete, restore."""

from uuid import UUID

from fastapi import APIRouter, Request, Response
from sqlalchemy.ext.asyncio import AsyncSession

from api.auth.permissions import ProjectsDelete
from api.dependencies import State
from api.http.envelope import Envelope, reply
from api.http.idempotency import Idempotent
from api.http.preconditions import Precondition
from api.schemas.projects import ProjectView
from api.services.projects.removal import Removal
from api.services.projects.views import project_view
from storage.engine import transaction

router = APIRouter(tags=["Projects"])


@router.delete("/projects/{project_id}", summary="Delete a project", status_code=204)
async def delete_project(
    parts: State, principal: ProjectsDelete, precondition: Precondition, project_id: UUID
) -> Response:
    """Its services lose their traffic, drain and stop. Its slug becomes free. It and its records can still be read.

    Lists show it only with `status=deleted`. Refused while operations run. Deleting it again changes nothing.
    """
    async with transaction(parts.sessions) as session:
        await Removal(principal, project_id).delete(session, precondition)
    return Response(status_code=204)


@router.post("/projects/{project_id}/restore", summary="Restore a project", response_model=Envelope[ProjectView])
async def restore_project(
    request: Request, principal: ProjectsDelete, command: Idempotent, project_id: UUID
) -> Response:
    """The project is active again and can be deployed to. Its releases do not restart. Its slug must not be taken."""

    async def restore(session: AsyncSession) -> Response:
        project = await Removal(principal, project_id).restore(session)
        return reply(request, await project_view(session, project))

    return await command.run(restore)
