"""Metric drivers read what the judge compares: cumulative counts of a release, since whenever."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from domain.canary.counts import SideCounts
from domain.canary.metric_scope import MetricsPlace
from domain.canary.policy import AnalysisPolicy


class MetricProvider(Protocol):
    """Reads all releases at one moment, each of them in the answer; one that had no request yet has zeros.

    What cannot be measured raises and is never given as zeros: `DependencyError` when it may be measured later,
    `TerminalError` when it will not, such as a query that nobody understands. The messages are shown to people.
    `policy` is the analysis's; a driver takes its own section of it. `place` says for whom, and what is not theirs is
    not read. Samples are given by no driver so far.
    """

    async def read(
        self, release_ids: Sequence[str], policy: AnalysisPolicy, place: MetricsPlace, /
    ) -> Mapping[str, SideCounts]: ...
