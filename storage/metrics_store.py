"""Stores the metrics counted by processes."""

from collections.abc import Sequence
from uuid import UUID

from domain.metric_counts import Increment
from storage.engine import Sessions, transaction
from storage.repositories.metric_increments import MetricIncrements


class MetricsStore:
    """Implements `runtime.metrics_flush.Store`."""

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions

    async def write(self, writer: UUID, sequence: int, increments: Sequence[Increment]) -> None:
        """Write a flush once; see `MetricIncrements.write`.

        Raises:
            DependencyError: the database does not answer; the flush may or may not be written.
        """
        async with transaction(self._sessions) as session:
            await MetricIncrements(session).write(writer, sequence, increments)
