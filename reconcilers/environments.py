"""Cleans up after lost workflows: frees deployment locks and stops releases without an owner."""

from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID

import structlog

from activities.instances import InstanceStopper
from domain.lifecycle import ReleaseState
from runtime.sweeps import Sweep, stages
from storage.engine import Sessions, transaction
from storage.repositories.reconciliation import KeepingRepository
from storage.repositories.releases import ReleaseRepository

log = structlog.get_logger(__name__)

# How long the environment's own workflow has to stop what is due before the keeper does it.
LATE_S = 20.0
LIMIT_S = 10.0
# Longer than the longest `drain_timeout` and `stop_timeout` together.
STOP_LIMIT_S = 1500.0
STOPS_AT_ONCE = 50
# Of one organization; whoever has none under way begins one at once, however many the others have.
STOPS_OF_ONE = 25
WAIT_S = 1.0


class EnvironmentTidier:
    """Every look is safe to repeat. Environments in which an operation is under way are left alone.

    Stopping takes as long as the last requests: it goes on beside the next looks, each release for itself.
    """

    def __init__(self, sessions: Sessions, stopper: InstanceStopper) -> None:
        self._sessions = sessions
        self._stopper = stopper
        self._retiring: Sweep[UUID] = Sweep("keeper.superseded", limit_s=LIMIT_S)
        self._stopping: Sweep[UUID] = Sweep(
            "keeper.overdue", limit_s=STOP_LIMIT_S, at_once=STOPS_AT_ONCE, of_one=STOPS_OF_ONE
        )

    async def look(self) -> None:
        """Free locks of finished operations and stop releases whose workflow is gone."""
        await stages("keeper", self._free_turns, self._retire_superseded, self._stop_overdue)

    async def close(self) -> None:
        """End what is under way; the rows tell the next keeper of it."""
        await self._retiring.close()
        await self._stopping.close()

    async def _free_turns(self) -> None:
        async with transaction(self._sessions) as session:
            for environment in await KeepingRepository(session).deserted():
                environment.holder_deployment_id = None

    async def _retire_superseded(self) -> None:
        """Those that were promoted over and never retired."""
        async with transaction(self._sessions) as session:
            found = [release.id for release in await KeepingRepository(session).superseded()]
        await self._retiring.each(_by_id(found), self._retire, wait_s=LIMIT_S)

    async def _retire(self, release_id: UUID) -> None:
        async with transaction(self._sessions) as session:
            if await KeepingRepository(session).claim_unwanted(release_id, [ReleaseState.ACTIVE]) is None:
                return
            releases = ReleaseRepository(session)
            due = await releases.clock() - timedelta(seconds=LATE_S)
            await releases.move(release_id, ReleaseState.RETIRED, stop_after=due)
        log.warning("keeper.superseded", release_id=str(release_id))

    async def _stop_overdue(self) -> None:
        async with transaction(self._sessions) as session:
            found = await KeepingRepository(session).overdue(late_s=LATE_S)
            owners = {release.id: release.organization_id for release in found}
        async with transaction(self._sessions) as session:
            owners |= await KeepingRepository(session).half_stopped(late_s=LATE_S)
        await self._stopping.each(_by_id(list(owners)), self._stop, owners=owners, wait_s=WAIT_S)

    async def _stop(self, release_id: UUID) -> None:
        """Unless a rollback wants it back by now: what came before it took its time."""
        async with transaction(self._sessions) as session:
            keeping = KeepingRepository(session)
            if await keeping.claim_overdue(release_id, late_s=LATE_S):
                await ReleaseRepository(session).move(release_id, ReleaseState.STOPPED)
            elif await keeping.claim_unwanted(release_id, [ReleaseState.STOPPED, ReleaseState.FAILED]) is None:
                return
        log.warning("keeper.overdue", release_id=str(release_id))
        await self._stopper.stop(release_id, keep=0)


def _by_id(ids: Sequence[UUID]) -> dict[UUID, UUID]:
    return dict(zip(ids, ids, strict=True))
