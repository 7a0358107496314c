"""Clears up after lost workflows: frees deployment locks, undoes rollouts and stops releases without an owner."""

from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID

import structlog

from activities.instances import InstanceStopper
from activities.routing import RouteWriter
from domain.lifecycle import ReleaseState
from runtime.reconciler import Reconciler
from runtime.sweeps import Sweep, stages
from storage.engine import Sessions, transaction
from storage.models import Environment, Release
from storage.repositories.reconciliation import KeepingRepository
from storage.repositories.releases import ReleaseRepository
from storage.repositories.routing import RoutingRepository

log = structlog.get_logger(__name__)

# How long the environment's own workflow has to stop what is due before it is done here.
LATE_S = 20.0
LIMIT_S = 10.0
# Longer than the longest `drain_timeout` and `stop_timeout` together.
STOP_LIMIT_S = 1500.0
STOPS_AT_ONCE = 50
# Of one organization; one without any under way begins one at once, however many the others have.
STOPS_OF_ONE = 25
WAIT_S = 1.0


class DesertedEnvironments(Reconciler):
    """Environments in which an operation is under way are left alone. Passes may run in several workers at once.

    Stopping takes as long as the last requests: it goes on beside the next passes, each release for itself.
    """

    name = "deserted_environments"
    interval_s = 5.0

    def __init__(self, sessions: Sessions, stopper: InstanceStopper, writer: RouteWriter) -> None:
        super().__init__()
        self._sessions = sessions
        self._stopper = stopper
        self._writer = writer
        self._undoing: Sweep[UUID] = Sweep(
            "releases.abandoned", limit_s=STOP_LIMIT_S, at_once=STOPS_AT_ONCE, of_one=STOPS_OF_ONE
        )
        self._retiring: Sweep[UUID] = Sweep("releases.superseded", limit_s=LIMIT_S)
        self._stopping: Sweep[UUID] = Sweep(
            "releases.overdue", limit_s=STOP_LIMIT_S, at_once=STOPS_AT_ONCE, of_one=STOPS_OF_ONE
        )

    async def reconcile(self) -> int:
        """Returns how many locks it freed, and releases it retired or stopped."""
        return await stages(
            self.name, self._undo_abandoned, self._free_locks, self._retire_superseded, self._stop_overdue
        )

    async def close(self) -> None:
        """The rows let the next pass go on with what is ended here."""
        for sweep in (self._undoing, self._retiring, self._stopping):
            await sweep.close()

    async def _undo_abandoned(self) -> int:
        async with transaction(self._sessions) as session:
            abandoned = await KeepingRepository(session).abandoned()
        owners = {release.id: release.organization_id for release in abandoned}
        releases = {release.id: release for release in abandoned}
        await self._undoing.each(releases, self._undo, owners=owners, wait_s=WAIT_S)
        return self._undoing.finished()

    async def _undo(self, release: Release) -> bool:
        if not await self._claim(release):
            return False
        log.warning("release.abandoned", release_id=str(release.id))
        await self._writer.apply()
        await self._stopper.stop(release.id, keep=0)
        return True

    async def _claim(self, release: Release) -> bool:
        """End it and give its traffic to the stable release, in one transaction; False: it is wanted again by now.

        Ending the ones before it took its time. Should the worker die behind this, the instances are found as those of
        a release that is over.
        """
        async with transaction(self._sessions) as session:
            keeping = KeepingRepository(session)
            environment, route = await keeping.environment_and_route(release.environment_id)
            if await keeping.claim_unwanted(release.id, [ReleaseState.STARTING]) is None:
                return False
            # A rollback's target that came no further may be tried again.
            ended = ReleaseState.STOPPED if release.was_healthy else ReleaseState.FAILED
            await ReleaseRepository(session).move(release.id, ended)
            environment.holder_deployment_id = None
            if route is not None and any(t["release_id"] == str(release.id) for t in route.targets):
                await self._route_to_current(RoutingRepository(session), environment)
        return True

    @staticmethod
    async def _route_to_current(routes: RoutingRepository, environment: Environment) -> None:
        if environment.current_release_id:
            await routes.set_route(environment.id, environment.host, [(environment.current_release_id, 100)])
        else:
            await routes.remove_route(environment.id)

    async def _free_locks(self) -> int:
        async with transaction(self._sessions) as session:
            deserted = await KeepingRepository(session).deserted()
            for environment in deserted:
                environment.holder_deployment_id = None
        return len(deserted)

    async def _retire_superseded(self) -> int:
        """Those that were promoted over and never retired."""
        async with transaction(self._sessions) as session:
            found = [release.id for release in await KeepingRepository(session).superseded()]
        return await self._retiring.each(_by_id(found), self._retire, wait_s=LIMIT_S)

    async def _retire(self, release_id: UUID) -> bool:
        async with transaction(self._sessions) as session:
            if await KeepingRepository(session).claim_unwanted(release_id, [ReleaseState.ACTIVE]) is None:
                return False
            releases = ReleaseRepository(session)
            due = await releases.clock() - timedelta(seconds=LATE_S)
            await releases.move(release_id, ReleaseState.RETIRED, stop_after=due)
        log.warning("release.superseded", release_id=str(release_id))
        return True

    async def _stop_overdue(self) -> int:
        async with transaction(self._sessions) as session:
            found = await KeepingRepository(session).overdue(late_s=LATE_S)
            owners = {release.id: release.organization_id for release in found}
        async with transaction(self._sessions) as session:
            owners |= await KeepingRepository(session).half_stopped(late_s=LATE_S)
        await self._stopping.each(_by_id(list(owners)), self._stop, owners=owners, wait_s=WAIT_S)
        return self._stopping.finished()

    async def _stop(self, release_id: UUID) -> bool:
        """Unless a rollback wants it back by now: what came before it took its time."""
        async with transaction(self._sessions) as session:
            keeping = KeepingRepository(session)
            claimed = await keeping.claim_overdue(release_id, late_s=LATE_S)
            if claimed:
                await ReleaseRepository(session).move(release_id, ReleaseState.STOPPED)
            elif await keeping.claim_unwanted(release_id, [ReleaseState.STOPPED, ReleaseState.FAILED]) is None:
                return False
        log.warning("release.overdue", release_id=str(release_id))
        stopped = await self._stopper.stop(release_id, keep=0)
        return bool(claimed) or stopped


def _by_id(ids: Sequence[UUID]) -> dict[UUID, UUID]:
    return dict(zip(ids, ids, strict=True))
