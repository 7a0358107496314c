"""Metric drivers read what the judge compares: cumulative counts of a release, since whenever."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from domain.canary.counts import SideCounts
from domain.canary.policy import AnalysisPolicy


@dataclass(frozen=True)
class MetricsPlace:
    """Whose figures are read: what an operator may bind the queries of a tenant to. Names are slugs."""

    organization: str
    organization_id: str
    project: str
    project_id: str
    environment: str
    environment_id: str


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
