"""Metrics in responses, with the contract's names."""

from uuid import UUID

from api.schemas.base import Decimal, Timestamp, View
from domain.metric_windows import Aggregation, TimeRange


class MetricFigures(View):
    """Metrics of some time. Counts are zero if nothing happened; values without a basis are null.

    Latencies are whole milliseconds until a response began, within 1 %. Errors are responses with a status from 500 on.
    """

    api_requests_total: int
    api_latency_p50_ms: int | None
    api_latency_p95_ms: int | None
    api_latency_p99_ms: int | None
    error_rate_percent: Decimal | None
    database_query_count: int
    database_slow_queries: int
    cache_hit_rate: Decimal | None
    cpu_percent: Decimal | None
    memory_percent: Decimal | None


class MetricPoint(MetricFigures):
    """One step of the series: `timestamp` is its beginning."""

    timestamp: Timestamp


class MetricsView(View):
    """Totals of a time range that ends at `timestamp`, and a series over it. `organization_id` null: of all."""

    timestamp: Timestamp
    time_range: TimeRange
    aggregation: Aggregation
    organization_id: UUID | None
    metrics: MetricFigures
    series: list[MetricPoint]
