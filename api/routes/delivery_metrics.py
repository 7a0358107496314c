"""Delivery metrics (DORA) of an organization, a project or an environment."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Request, Response

from api.auth.permissions import MetricsRead
from api.dependencies import State
from api.http.envelope import Envelope, reply
from api.http.errors import InvalidRequestError
from api.http.moments import Moment
from api.schemas.delivery_metrics import DeliveryMetricsView
from api.services.delivery_metrics import Asked
from domain.delivery_metrics import Range, range_of
from domain.lifecycle import EnvironmentName
from runtime.ids import now
from storage.engine import transaction

router = APIRouter(tags=["Monitoring"])


async def _range(since: Moment = None, until: Moment = None) -> Range:
    try:
        return range_of(since, until, now())
    except ValueError as error:
        raise InvalidRequestError("since", str(error), code="range", in_body=False) from error


WantedRange = Annotated[Range, Depends(_range)]


@router.get(
    "/organizations/{org_id}/delivery-metrics",
    summary="Get an organization's delivery metrics",
    response_model=Envelope[DeliveryMetricsView],
)
async def get_organization_delivery_metrics(
    *,
    request: Request,
    parts: State,
    principal: MetricsRead,
    org_id: UUID,
    wanted: WantedRange,
    project_id: UUID | None = None,
    environment: EnvironmentName | None = None,
) -> Response:
    """The four DORA metrics, with waiting time separate from work. Default range: the last 30 days; maximum: 366."""
    principal.require_organization(org_id)
    async with transaction(parts.sessions) as session:
        view = await Asked(principal, wanted, environment).of_organization(session, org_id, project_id)
    return reply(request, view)


@router.get(
    "/projects/{project_id}/delivery-metrics",
    summary="Get a project's delivery metrics",
    response_model=Envelope[DeliveryMetricsView],
)
async def get_project_delivery_metrics(
    *,
    request: Request,
    parts: State,
    principal: MetricsRead,
    project_id: UUID,
    wanted: WantedRange,
    environment: EnvironmentName | None = None,
) -> Response:
    """The same metrics for one project, or for one environment of it with `environment`."""
    async with transaction(parts.sessions) as session:
        view = await Asked(principal, wanted, environment).of_project(session, project_id)
    return reply(request, view)


@router.get(
    "/projects/{project_id}/environments/{name}/delivery-metrics",
    summary="Get an environment's delivery metrics",
    response_model=Envelope[DeliveryMetricsView],
)
async def get_environment_delivery_metrics(
    *,
    request: Request,
    parts: State,
    principal: MetricsRead,
    project_id: UUID,
    name: EnvironmentName,
    wanted: WantedRange,
) -> Response:
    """The same metrics for one environment of a project."""
    async with transaction(parts.sessions) as session:
        view = await Asked(principal, wanted, name).of_project(session, project_id)
    return reply(request, view)
