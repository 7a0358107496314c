"""Build and deploy a feature; deploy an existing build; retry a deployment."""

from functools import partial
from typing import Any
from uuid import UUID

from fastapi import APIRouter, Request, Response
from sqlalchemy.ext.asyncio import AsyncSession

from api.auth.permissions import DeploymentsRead, DeploymentsWrite
from api.dependencies import State
from api.http.envelope import Envelope, PageEnvelope, reply_page
from api.http.idempotency import Idempotent
from api.http.pagination import WantedPage
from api.routes.new_deployments import Preference, accepted, created
from api.schemas.deployments import BuildAndDeployRequest, DeploymentView, DeployRequest, RetryRequest
from api.schemas.operations import AcceptedView
from api.schemas.views import deployment_view
from api.services.deployments.create import Delivery
from api.services.deployments.options import DeploymentRequest
from api.services.deployments.retry import Redelivery
from api.services.deployments.start import try_start
from domain.approvals import Action
from storage.engine import transaction
from storage.repositories.builds import BuildRepository
from storage.repositories.deployments import DeploymentRepository

router = APIRouter(tags=["Deployments"])

ASYNC: dict[int | str, dict[str, Any]] = {
    202: {"model": Envelope[AcceptedView], "description": "With `Prefer: respond-async`"}
}


@router.post(
    "/features/{feature_id}/build-and-deploy",
    summary="Build a feature and deploy it",
    status_code=202,
    response_model=Envelope[AcceptedView],
)
async def build_and_deploy(
    *,
    request: Request,
    parts: State,
    principal: DeploymentsWrite,
    command: Idempotent,
    feature_id: UUID,
    body: BuildAndDeployRequest,
) -> Response:
    """Once this is answered, the operation will run. Production needs deployments:approve and approval_notes."""
    wanted = DeploymentRequest.of(body)
    wanted.check(principal)
    delivery = Delivery(parts.settings, principal, wanted)

    async def record(session: AsyncSession) -> Response:
        asked = await delivery.build_and_deploy(
            session,
            feature_id,
            version_tag=body.version_tag,
            git_branch=body.git_branch,
            git_commit_hash=body.git_commit_hash,
        )
        command.after_commit(partial(try_start, parts.operations, asked.operation))
        return accepted(request, parts, asked)

    return await command.run(record)


@router.post(
    "/builds/{build_id}/deploy",
    summary="Deploy a build to an environment",
    status_code=201,
    response_model=Envelope[DeploymentView],
    responses=ASYNC,
)
async def deploy(
    *,
    request: Request,
    parts: State,
    principal: DeploymentsWrite,
    command: Idempotent,
    build_id: UUID,
    body: DeployRequest,
    prefer: Preference = None,
) -> Response:
    """Once answered, it will run. Production and skipping the analysis need deployments:approve and approval_notes."""
    wanted = DeploymentRequest.of(body)
    wanted.check(principal)
    delivery = Delivery(parts.settings, principal, wanted)

    async def record(session: AsyncSession) -> Response:
        asked = await delivery.deploy(session, build_id)
        command.after_commit(partial(try_start, parts.operations, asked.operation))
        return created(request, parts, asked, prefer)

    return await command.run(record)


@router.get(
    "/builds/{build_id}/deployments",
    summary="List deployments of a build",
    response_model=PageEnvelope[DeploymentView],
)
async def list_deployments_of_build(
    request: Request, parts: State, principal: DeploymentsRead, build_id: UUID, page: WantedPage
) -> Response:
    """Newest first."""
    async with transaction(parts.sessions) as session:
        await BuildRepository(session, principal.tenant).get(build_id)
        found = await DeploymentRepository(session, principal.tenant).of_build(build_id, page)
    return reply_page(request, found, [deployment_view(row) for row in found.rows])


@router.post(
    "/deployments/{deployment_id}/retry",
    summary="Try a finished deployment again",
    status_code=201,
    response_model=Envelope[DeploymentView],
    responses=ASYNC,
)
async def retry(
    *,
    request: Request,
    parts: State,
    principal: DeploymentsWrite,
    command: Idempotent,
    deployment_id: UUID,
    body: RetryRequest,
    prefer: Preference = None,
) -> Response:
    """A new deployment with the same options: of the same build if it succeeded, else of a new build.

    It needs a new approval: for production deployments:approve, or the approval of another person.
    """
    again = Redelivery(
        parts.settings,
        principal,
        deployment_id,
        Action.RETRY,
        body.reason,
        request_approval=body.request_approval,
        override_freeze=body.override_freeze,
    )

    async def record(session: AsyncSession) -> Response:
        asked = await again.record(session)
        command.after_commit(partial(try_start, parts.operations, asked.operation))
        return created(request, parts, asked, prefer)

    return await command.run(record)
