"""What a lost workflow leaves behind in an environment: its turn, and releases that nobody stops any more."""

from datetime import timedelta
from uuid import UUID

import structlog

from activities.instances import InstanceStopper
from domain.lifecycle import ReleaseState
from runtime.ids import now
from storage.engine import Sessions, transaction
from storage.repositories.keeping import KeepingRepository
from storage.repositories.releases import ReleaseRepository

log = structlog.get_logger(__name__)

# How long the environment's own workflow has to stop what is due before the keeper does it.
LATE_S = 20.0


class EnvironmentTidier:
    """Every look is safe to repeat. Environments in which an operation is under way are left alone."""

    def __init__(self, sessions: Sessions, stopper: InstanceStopper) -> None:
        self._sessions = sessions
        self._stopper = stopper

    async def look(self) -> None:
        """Free turns that nobody will give back, stop releases that nobody will stop."""
        await self._free_turns()
        await self._retire_superseded()
        await self._stop_overdue()

    async def _free_turns(self) -> None:
        async with transaction(self._sessions) as session:
            for environment in await KeepingRepository(session).deserted():
                environment.holder_deployment_id = None

    async def _retire_superseded(self) -> None:
        """One that was promoted over and never retired."""
        async with transaction(self._sessions) as session:
            for release in await KeepingRepository(session).superseded():
                log.warning("keeper.superseded", release_id=str(release.id))
                due = now() - timedelta(seconds=LATE_S)
                await ReleaseRepository(session).move(release.id, ReleaseState.RETIRED, stop_after=due)

    async def _stop_overdue(self) -> None:
        async with transaction(self._sessions) as session:
            overdue = [release.id for release in await KeepingRepository(session).overdue(late_s=LATE_S)]
            for release_id in overdue:
                await ReleaseRepository(session).move(release_id, ReleaseState.STOPPED)
        async with transaction(self._sessions) as session:
            half_stopped = await KeepingRepository(session).half_stopped(late_s=LATE_S)
        for release_id in {*overdue, *half_stopped}:
            await self._stop(release_id)

    async def _stop(self, release_id: UUID) -> None:
        """Unless a rollback wants it back by now: stopping the ones before it took its time."""
        async with transaction(self._sessions) as session:
            over = [ReleaseState.STOPPED, ReleaseState.FAILED]
            if await KeepingRepository(session).claim_unwanted(release_id, over) is None:
                return
        log.warning("keeper.overdue", release_id=str(release_id))
        await self._stopper.stop(release_id, keep=0)
