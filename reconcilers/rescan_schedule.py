"""Temporal has the schedule of re-scans that the settings ask for, also after its data was lost."""

from datetime import timedelta

from orchestration.rescans import Rescans
from runtime.reconciler import Reconciler


class RescanSchedule(Reconciler):
    """Several workers may do this at once: they want the same.

    Args:
        rescans: sees to the schedule.
        every: how often; zero: never.
    """

    name = "rescan_schedule"
    interval_s = 300.0
    limit_s = 60.0

    def __init__(self, rescans: Rescans, every: timedelta) -> None:
        super().__init__()
        self._rescans = rescans
        self._every = every

    async def reconcile(self) -> int:
        """Whether it was made or changed."""
        return int(await self._rescans.ensure(self._every))
