"""The timeline of a deployment."""

from uuid import UUID

from fastapi import APIRouter, Request, Response

from api.auth.permissions import DeploymentsRead
from api.dependencies import State
from api.http.envelope import Envelope, reply
from api.schemas.base import seconds_between
from api.schemas.timeline import HappeningView, SampleView, TimelineView, WaitView
from api.services.deployments.timeline import Timeline, timeline_of
from storage.engine import transaction

router = APIRouter(tags=["Deployments"])


@router.get(
    "/deployments/{deployment_id}/timeline",
    summary="Get what a deployment went through",
    response_model=Envelope[TimelineView],
)
async def get_timeline(request: Request, parts: State, principal: DeploymentsRead, deployment_id: UUID) -> Response:
    """Weight, requests, errors, latency and evidence of both sides over time, with the events in between.

    `samples` are the measurements of the analyses, at most a few hundred: longer analyses have wider intervals.
    `events` are states, weights, verdicts and people's actions. `waits` lists what the deployment waited for.
    """
    async with transaction(parts.sessions) as session:
        found = await timeline_of(session, principal.tenant, deployment_id)
    return reply(request, _view(found))


def _view(found: Timeline) -> TimelineView:
    return TimelineView(
        deployment_id=found.deployment.id,
        status=found.deployment.status,
        samples=[SampleView.model_validate({"at": each.at, **each.data}) for each in found.samples],
        events=[HappeningView.model_validate(each) for each in found.events],
        waits=[
            WaitView(
                waits_for=each.waits_for,
                status=each.status,
                started_at=each.begin,
                completed_at=each.end,
                duration_seconds=seconds_between(each.begin, each.end),
            )
            for each in found.waits
        ],
        truncated=found.truncated,
    )
