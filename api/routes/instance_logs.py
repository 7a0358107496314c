"""The logs of a deployment's instances."""

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request, Response

from api.auth.permissions import DeploymentsRead
from api.dependencies import State
from api.http.envelope import Envelope, reply
from api.http.moments import Moment
from api.routes.log_streams import Following, follow_reply, stream_of
from api.schemas.base import Searched
from api.schemas.instance_logs import InstanceLogsView, LogLineView
from api.services.logs.follow import Told
from api.services.logs.instances import InstancesPlace, mark_of
from domain.permissions import Scope
from storage.engine import transaction
from storage.repositories.deployments import DeploymentRepository

router = APIRouter(tags=["Deployments"])

DEFAULT_LINES, MAX_LINES = 200, 5000
FOLLOWED = stream_of(
    '{"lines": [{"time": "2026-01-31T00:00:00.100Z", "instance": "...-0", "text": "GET /"}]}', "0=1200,1=800"
)


@dataclass(frozen=True)
class WantedLines:
    """The lines to return."""

    instance: str | None
    since: datetime | None
    limit: int


async def _wanted(
    instance: Annotated[
        str | None, Query(max_length=128, description="only this instance, by its id in `instances`"), Searched
    ] = None,
    since: Moment = None,
    limit: Annotated[int, Query(ge=1, le=MAX_LINES, description="number of lines, the newest ones")] = DEFAULT_LINES,
) -> WantedLines:
    return WantedLines(instance, since, limit)


Wanted = Annotated[WantedLines, Depends(_wanted)]


@router.get(
    "/deployments/{deployment_id}/logs",
    summary="Read the logs of a deployment's instances",
    response_model=Envelope[InstanceLogsView],
    responses=FOLLOWED,
)
async def get_deployment_logs(
    *,
    request: Request,
    parts: State,
    principal: DeploymentsRead,
    deployment_id: UUID,
    wanted: Wanted,
    follow: Following,
) -> Response:
    """The newest `limit` lines that its instances and other processes have written since `since`.

    A restarted instance continues its log. The end of a stopped instance's log is kept. The values of the project's
    secrets are masked. With `follow=true`, server-sent events: `log` with some lines, beginning with those same lines,
    and `end` when nothing of the deployment runs any more. A client that loses its permission gets a last event
    `closed`.
    """
    async with transaction(parts.sessions) as session:
        await DeploymentRepository(session, principal.tenant).get(deployment_id)
    logs, place = parts.logs.deployments, InstancesPlace(deployment_id, wanted.instance)
    known = mark_of(follow.last_event_id) if follow.wanted else None
    if known is None:
        newest = await logs.newest(place, since=wanted.since, limit=wanted.limit)
        if not follow.wanted:
            lines = [LogLineView.model_validate(line) for line in newest.lines]
            return reply(
                request, InstanceLogsView(instances=list(newest.instances), lines=lines, truncated=newest.more)
            )

    async def at(mark: str) -> Told:
        return await logs.at(replace(place, mark=mark))

    mark = newest.mark if known is None else known
    return await follow_reply(
        request, parts, principal, at, mark, go_on=known is not None, any_of=(Scope.DEPLOYMENTS_READ,)
    )
