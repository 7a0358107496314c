"""Rolls up metrics: increments of processes become minutes, five minutes and hours, which go when they are old."""

from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from domain.metric_counts import Counts
from domain.metric_windows import KEPT, STEPS, beginning
from runtime.reconciler import Reconciler
from storage.engine import Sessions, transaction
from storage.repositories.metric_increments import MetricIncrements
from storage.repositories.metric_rollups import Key, MetricRollups

BATCH: Final = 500
MAX_BATCHES: Final = 200
EXPIRED: Final = 5000
# From the beginning of a minute on: by then all processes have told of it, if the database answers them.
SETTLED: Final = timedelta(seconds=120)
# A flush that a process tries again is known for so long.
WRITERS_KEPT: Final = timedelta(days=2)


class MetricRollup(Reconciler):
    """Several workers may do this: one at a time does, the others find nothing. Increments that come late are added."""

    name = "metric_rollup"
    interval_s = 60.0
    limit_s = 300.0

    def __init__(self, sessions: Sessions, *, batch: int = BATCH, settled: timedelta = SETTLED) -> None:
        super().__init__()
        self._sessions = sessions
        self._batch = batch
        self._settled = settled

    async def reconcile(self) -> int:
        """Returns how many rows went because their time was over; rolling up is what it always does."""
        for _ in range(MAX_BATCHES):
            if not await self.roll_up():
                break
        return await self.expire()

    async def roll_up(self) -> int:
        """Minutes of organizations, each added to its minute, its five minutes and its hour; returns how many."""
        async with transaction(self._sessions) as session:
            found = await MetricIncrements(session).take(older_than=self._settled, limit=self._batch)
            if found:
                await MetricRollups(session).add(_steps(found))
        return len(found)

    async def expire(self) -> int:
        """Returns how many steps went."""
        kept = {STEPS[aggregation]: length for aggregation, length in KEPT.items()}
        total = 0
        for _ in range(MAX_BATCHES):
            async with transaction(self._sessions) as session:
                rollups = MetricRollups(session)
                gone = await rollups.expire(kept, limit=EXPIRED)
                await rollups.forget_writers(older_than=WRITERS_KEPT, limit=EXPIRED)
            total += gone
            if gone < EXPIRED:
                break
        return total


def _steps(minutes: dict[tuple[UUID, datetime], Counts]) -> dict[Key, Counts]:
    found: dict[Key, Counts] = {}
    for (organization_id, minute), counts in minutes.items():
        for step in STEPS.values():
            key = organization_id, int(step.total_seconds()), beginning(minute, step)
            found.setdefault(key, Counts()).add(counts)
    return found
