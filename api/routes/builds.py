"""Builds: report an external build, get, list, logs."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query, Request, Response
from sqlalchemy.ext.asyncio import AsyncSession

from api.auth.permissions import DeploymentsRead, DeploymentsWrite
from api.dependencies import State
from api.http.envelope import Envelope, PageEnvelope, reply, reply_page
from api.http.idempotency import Idempotent
from api.http.links import location
from api.http.pagination import WantedPage
from api.routes.log_streams import Following
from api.routes.operation_logs import LOGGED, LogWindow, followed_steps, log_reply
from api.schemas.base import MAX_LINE, Searched
from api.schemas.builds import BuildReport, BuildView, LogListing
from api.schemas.views import build_view
from api.services.builds import record_report
from api.services.logs.steps import StepsPlace
from domain.errors import NotFoundError
from domain.lifecycle import BuildStatus
from domain.permissions import Scope
from storage.engine import transaction
from storage.repositories.builds import BuildRepository
from storage.repositories.features import FeatureRepository
from storage.repositories.projects import ProjectRepository

router = APIRouter(tags=["Builds"])

Version = Annotated[str | None, Query(max_length=MAX_LINE, description="exactly this version"), Searched]


@router.get("/builds/{build_id}", summary="Get build details", response_model=Envelope[BuildView])
async def get_build(request: Request, parts: State, principal: DeploymentsRead, build_id: UUID) -> Response:
    """A build with its sources, its tests and its artifact. Fields that were not measured are null."""
    async with transaction(parts.sessions) as session:
        row = await BuildRepository(session, principal.tenant).get(build_id)
    return reply(request, build_view(row))


@router.post(
    "/features/{feature_id}/builds",
    summary="Record a build made elsewhere",
    status_code=201,
    response_model=Envelope[BuildView],
)
async def report_build(
    *,
    request: Request,
    principal: DeploymentsWrite,
    command: Idempotent,
    feature_id: UUID,
    body: BuildReport,
) -> Response:
    """The status is `failed` if a test or the scan failed, else `success`: then the build can be deployed.

    Its artifact is built from the project's repository at `git_commit_hash` on the first deployment.
    """

    async def record(session: AsyncSession) -> Response:
        row = await record_report(session, principal, feature_id, body)
        return reply(request, build_view(row), status=201, headers=location(request, f"/builds/{row.id}"))

    return await command.run(record)


@router.get("/features/{feature_id}/builds", summary="List builds of a feature", response_model=PageEnvelope[BuildView])
async def list_builds(
    *,
    request: Request,
    parts: State,
    principal: DeploymentsRead,
    feature_id: UUID,
    page: WantedPage,
    status: BuildStatus | None = None,
    version_tag: Version = None,
) -> Response:
    """Newest first."""
    async with transaction(parts.sessions) as session:
        await FeatureRepository(session, principal.tenant).get(feature_id)
        found = await BuildRepository(session, principal.tenant).search(
            feature_id=feature_id, status=status, version_tag=version_tag, request=page
        )
    return reply_page(request, found, [build_view(row) for row in found.rows])


@router.get("/projects/{project_id}/builds", summary="List builds of a project", response_model=PageEnvelope[BuildView])
async def list_builds_of_project(
    *,
    request: Request,
    parts: State,
    principal: DeploymentsRead,
    project_id: UUID,
    page: WantedPage,
    status: BuildStatus | None = None,
    version_tag: Version = None,
) -> Response:
    """Newest first, of all features of the project."""
    async with transaction(parts.sessions) as session:
        await ProjectRepository(session, principal.tenant).get(project_id)
        found = await BuildRepository(session, principal.tenant).search(
            project_id=project_id, status=status, version_tag=version_tag, request=page
        )
    return reply_page(request, found, [build_view(row) for row in found.rows])


@router.get(
    "/builds/{build_id}/logs", summary="Read a build's logs", response_model=Envelope[LogListing], responses=LOGGED
)
async def get_build_logs(
    *,
    request: Request,
    parts: State,
    principal: DeploymentsRead,
    build_id: UUID,
    window: LogWindow,
    follow: Following,
) -> Response:
    """Plain text, in pieces: continue at `X-Next-Offset`. With `Accept: application/json`, the steps and their sizes.

    With `follow=true`, server-sent events: `log` with some lines, `end` when the build has ended. A client that loses
    its permission gets a last event `closed`.
    """
    async with transaction(parts.sessions) as session:
        row = await BuildRepository(session, principal.tenant).get(build_id)
    if row.operation_id is None:
        raise NotFoundError(
            f"build {build_id} was made elsewhere: it has no logs here; those of making its artifact are its "
            "deployment's operation's"
        )
    if follow.wanted:
        place = StepsPlace(row.operation_id, row.id, window.step)
        return await followed_steps(request, parts, principal, follow, place, Scope.DEPLOYMENTS_READ)
    return await log_reply(request, parts, row.operation_id, row.project_id, window)
