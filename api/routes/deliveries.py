"""Build and deploy a feature."""

from uuid import UUID

from fastapi import APIRouter, Request, Response
from sqlalchemy.ext.asyncio import AsyncSession

from api.auth.permissions import DeploymentsWrite
from api.commands import Idempotent
from api.deliveries import Delivery, check_delivery
from api.envelope import Envelope, reply
from api.links import accepted_headers
from api.parts import AppParts
from api.schemas.deployments import BuildAndDeployRequest
from api.schemas.operations import AcceptedView
from api.starts import try_start
from api.views import accepted_view
from storage.models import Operation

router = APIRouter(tags=["Deployments"])


@router.post(
    "/features/{feature_id}/build-and-deploy",
    summary="Build a feature and deploy it",
    status_code=202,
    response_model=Envelope[AcceptedView],
)
async def build_and_deploy(
    *,
    request: Request,
    parts: AppParts,
    principal: DeploymentsWrite,
    command: Idempotent,
    feature_id: UUID,
    body: BuildAndDeployRequest,
) -> Response:
    """A promise: once answered, the operation runs. Production needs deployments:approve and approval_notes."""
    check_delivery(principal, body)
    delivery = Delivery(parts.settings, principal, feature_id, body)
    recorded: list[Operation] = []

    async def record(session: AsyncSession) -> Response:
        operation = await delivery.record(session)
        recorded.append(operation)
        headers = accepted_headers(parts.settings, operation.id, operation.resource_id)
        return reply(request, accepted_view(operation), status=202, headers=headers)

    response = await command.run(record)
    for operation in recorded:
        await try_start(parts.operations, operation.kind, operation.input)
    return response
