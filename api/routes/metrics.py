"""Metrics: number of requests to the API, their statuses and their latency."""

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
    """Totals of a time range and a series over it: your organization's requests, or all for platform admins.

    Default `aggregation`: the finest allowed, which is 1m up to 24h, 5m up to 7d, 1h up to 30d. A finer one is refused.
    """
    view = await parts.metrics.of(principal, time_range, chosen(time_range, aggregation))
    return reply(request, view)
