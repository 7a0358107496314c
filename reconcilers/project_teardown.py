"""Services of deleted projects leave the world: routes first, then instances drain and stop.

The rows were ended in the transaction of the request. What is left to do stands in them, so it does not matter who
dies: whichever worker looks next goes on.
"""

from uuid import UUID

import structlog

from activities.instances import InstanceStopper
from activities.routing import RouteWriter
from reconcilers.environments import STOP_LIMIT_S, STOPS_AT_ONCE, STOPS_OF_ONE
from runtime.reconciler import Reconciler, Wakeup
from runtime.sweeps import Sweep
from storage.engine import Sessions, transaction
from storage.repositories.reconciliation import KeepingRepository

log = structlog.get_logger(__name__)

# How long others have to stop what is over but not for good.
LATE_S = 20.0


class ProjectTeardown(Reconciler):
    """Passes may run in several workers at once. They do not wait for drains: these go on beside the next passes.

    Args:
        wakeup: rings when a project was deleted.
        wait_s: seconds that a pass waits for what it begins; None: as long as it takes.
    """

    name = "project_teardown"
    interval_s = 5.0

    def __init__(
        self,
        sessions: Sessions,
        stopper: InstanceStopper,
        writer: RouteWriter,
        wakeup: Wakeup,
        *,
        wait_s: float | None = 0.0,
    ) -> None:
        super().__init__(wakeup)
        self._sessions = sessions
        self._stopper = stopper
        self._writer = writer
        self._wait_s = wait_s
        self._stopping: Sweep[UUID] = Sweep(self.name, limit_s=STOP_LIMIT_S, at_once=STOPS_AT_ONCE, of_one=STOPS_OF_ONE)

    async def close(self) -> None:
        await self._stopping.close()

    async def reconcile(self) -> int:
        """Returns how many releases were stopped since the last pass."""
        async with transaction(self._sessions) as session:
            found = await KeepingRepository(session).withdrawn(late_s=LATE_S)
        if self.woken or set(found) - self._stopping.under_way:
            await self._writer.apply()
        releases = {release_id: release_id for release_id in found}
        await self._stopping.each(releases, self._stop, owners=found, wait_s=self._wait_s)
        return self._stopping.finished()

    async def _stop(self, release_id: UUID) -> bool:
        stopped = await self._stopper.stop(release_id, keep=0)
        if stopped:  # else another worker was first
            log.info("release.stopped", release_id=str(release_id))
        return stopped
