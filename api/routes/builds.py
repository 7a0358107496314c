"""Builds: get, list, logs."""

from uuid import UUID

from fastapi import APIRouter, Request, Response

from api.auth.permissions import DeploymentsRead
from api.envelope import Envelope, PageEnvelope, reply, reply_page
from api.logs import LogWindow, log_reply
from api.paging import WantedPage
from api.parts import AppParts
from api.schemas.builds import BuildView
from api.views import build_view
from domain.errors import NotFoundError
from storage.engine import transaction
from storage.repositories.builds import BuildRepository
from storage.repositories.features import FeatureRepository

router = APIRouter(tags=["Builds"])


@router.get("/builds/{build_id}", summary="Get build details", response_model=Envelope[BuildView])
async def get_build(request: Request, parts: AppParts, principal: DeploymentsRead, build_id: UUID) -> Response:
    """Its sources, its tests, its artifact; what nobody measured is null."""
    async with transaction(parts.sessions) as session:
        row = await BuildRepository(session, principal.tenant).get(build_id)
    return reply(request, build_view(row))


@router.get("/features/{feature_id}/builds", summary="List builds of a feature", response_model=PageEnvelope[BuildView])
async def list_builds(
    request: Request, parts: AppParts, principal: DeploymentsRead, feature_id: UUID, page: WantedPage
) -> Response:
    """Newest first."""
    async with transaction(parts.sessions) as session:
        await FeatureRepository(session, principal.tenant).get(feature_id)
        found = await BuildRepository(session, principal.tenant).of_feature(feature_id, page)
    return reply_page(request, found, [build_view(row) for row in found.rows])


@router.get("/builds/{build_id}/logs", summary="Read a build's logs")
async def get_build_logs(
    request: Request, parts: AppParts, principal: DeploymentsRead, build_id: UUID, window: LogWindow
) -> Response:
    """Plain text, in pieces: go on at `X-Next-Offset`. With `Accept: application/json` the steps and their sizes."""
    async with transaction(parts.sessions) as session:
        row = await BuildRepository(session, principal.tenant).get(build_id)
    if row.operation_id is None:
        raise NotFoundError(f"build {build_id} was made elsewhere: there are no logs of it here")
    return await log_reply(request, parts.settings, row.operation_id, window)
