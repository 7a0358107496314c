"""Metrics of the router itself: every request it sent to a release, with its status and its latency."""

from collections.abc import Mapping, Sequence

from domain.canary.counts import SideCounts
from domain.canary.policy import AnalysisPolicy
from drivers.routers.base import Router, TrafficCounters


class RouterMetrics:
    """Implements `drivers.metrics.base.MetricProvider` with the counters of a router."""

    def __init__(self, router: Router) -> None:
        self._router = router

    async def read(self, release_ids: Sequence[str], _policy: AnalysisPolicy, /) -> Mapping[str, SideCounts]:
        """Both sides from one reading of the router; a side it does not know yet has counted nothing."""
        return {counted.release_id: side_counts(counted) for counted in await self._router.counters(release_ids)}


def side_counts(counted: TrafficCounters) -> SideCounts:
    """The router's counters as the judge wants them."""
    bounds = tuple(sorted(bound for bound in counted.latency_buckets if 0 < bound < float("inf")))
    return SideCounts(
        epoch=counted.epoch,
        requests=counted.requests,
        errors=min(counted.errors_5xx, counted.requests),
        bounds=bounds,
        at_or_below=tuple(counted.latency_buckets[bound] for bound in bounds),
        timed=max(counted.latency_buckets.values(), default=0),
    )
