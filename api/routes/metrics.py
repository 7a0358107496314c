"""Metrics: how much was asked of the API, how it answered, and what that took."""

from fastapi import APIRouter, Request, Response

from api.auth.permissions import MetricsRead
from api.dependencies import State
from api.http.envelope import Envelope, reply
from api.schemas.metrics import MetricsView
from domain.metric_windows import Aggregation, TimeRange, chosen

router = APIRouter(tags=["Monitoring"])


@router.get("/metrics", summary="Get system metrics", response_model=Envelope[MetricsView])
async def get_metrics(
    *,
    request: Request,
    parts: State,
    principal: MetricsRead,
    time_range: TimeRange = TimeRange.HOUR,
    aggregation: Aggregation | None = None,
) -> Response:
    """Totals of a time range, and a series over it: of your organization's requests; of all for platform admins.

    Without `aggregation` the finest that fits: 1m up to 24h, 5m for 7d, 1h for 30d. One that is too fine is refused.
    """
    view = await parts.metrics.of(principal, time_range, chosen(time_range, aggregation))
    return reply(request, view)
