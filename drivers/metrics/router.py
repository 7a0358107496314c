"""Metrics of the router: every request it sent to a release, with its status and its latency."""

from collections.abc import Mapping, Sequence

from domain.canary.counts import SideCounts
from domain.canary.error_kinds import counted
from domain.canary.metric_scope import MetricsPlace
from domain.canary.policy import AnalysisPolicy
from drivers.routers.base import Router, TrafficCounters


class RouterMetrics:
    """Implements `drivers.metrics.base.MetricProvider` with the counters of a router."""

    def __init__(self, router: Router) -> None:
        self._router = router

    async def read(
        self, release_ids: Sequence[str], policy: AnalysisPolicy, _place: MetricsPlace, /
    ) -> Mapping[str, SideCounts]:
        """Both sides from one reading of the router; a side unknown to the router has zero counts."""
        found = await self._router.counters(release_ids)
        return {counters.release_id: side_counts(counters, policy.errors) for counters in found}


def side_counts(counters: TrafficCounters, errors: Sequence[str]) -> SideCounts:
    """The router's counters in the judge's format; `errors` says which responses count as errors."""
    classes = {"4xx": counters.errors_4xx, "5xx": counters.errors_5xx}
    bad, refused = counted(errors, classes, counters.codes)
    bounds = tuple(sorted(bound for bound in counters.latency_buckets if 0 < bound < float("inf")))
    return SideCounts(
        epoch=counters.epoch,
        requests=counters.requests,
        errors=min(bad, counters.requests),
        client_errors=refused,
        bounds=bounds,
        at_or_below=tuple(counters.latency_buckets[bound] for bound in bounds),
        timed=max(counters.latency_buckets.values(), default=0),
    )
