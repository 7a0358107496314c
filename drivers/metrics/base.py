"""Metric drivers read the judge's input: cumulative counts of a release since an arbitrary start."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from domain.canary.counts import SideCounts
from domain.canary.metric_scope import MetricsPlace
from domain.canary.policy import AnalysisPolicy


class MetricProvider(Protocol):
    """Reads all releases at one moment. Each of them is in the answer; one without requests yet has zeros.

    A failed measurement raises and is never reported as zeros: `DependencyError` when a retry may help, `TerminalError`
    when it will not, such as for an invalid query. The messages are shown to people. `policy` is the analysis's; a
    driver reads its own section of it. `place` names the tenant, and only the tenant's data is read. No driver returns
    samples so far.
    """

    async def read(
        self, release_ids: Sequence[str], policy: AnalysisPolicy, place: MetricsPlace, /
    ) -> Mapping[str, SideCounts]: ...
