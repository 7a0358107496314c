"""Metric drivers read what the judge compares: cumulative counts of a release, since whenever."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from domain.canary.counts import SideCounts


class MetricProvider(Protocol):
    """Reads all releases at one moment. Raises `DependencyError` when it cannot measure now."""

    async def read(self, release_ids: Sequence[str]) -> Mapping[str, SideCounts]: ...
