"""The keeper: what should run runs and what should not does not, after a reboot, a lost workflow, a crash."""

import asyncio
import os
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from uuid import UUID

import structlog

from activities.instances import InstanceStopper
from activities.pauses import Pauses
from activities.recovery import InstanceRecovery
from activities.routing import RouteWriter
from domain.errors import DeliveryError
from domain.lifecycle import ReleaseState
from domain.procfile import WEB
from drivers.routers.base import HeldBackError
from drivers.targets.base import InstancePhase, InstanceStatus, Target
from reconcilers.environments import STOP_LIMIT_S, STOPS_AT_ONCE, STOPS_OF_ONE, WAIT_S, EnvironmentTidier
from runtime.sweeps import Sweep, stages
from storage.engine import Sessions, transaction
from storage.models import Environment, Instance, Release
from storage.repositories.reconciliation import KeepingRepository
from storage.repositories.releases import InstanceRepository, ReleaseRepository
from storage.repositories.routing import RoutingRepository

log = structlog.get_logger(__name__)

LOOK_EVERY_S = 5.0
# An instance that has lived so long is no more one that does not stay.
STAYED_S = 60.0
# Starting one is the work of a processor; after a reboot hundreds are started beside an API that starts, too.
AT_ONCE = min(16, max(4, 2 * len(os.sched_getaffinity(0))))
OF_ONE = AT_ONCE - AT_ONCE // 4
# An artifact is unpacked in seconds; who takes longer is ended, and does not keep the keeper from its other work.
RECOVERY_LIMIT_S = 180.0
RECOVERY_WAIT_S = 30.0


class InstanceKeeper:
    """Compares the database with the target. Every look is safe to repeat and to run in several workers at once."""

    def __init__(
        self,
        *,
        sessions: Sessions,
        target: Target,
        stopper: InstanceStopper,
        writer: RouteWriter,
        recovery: InstanceRecovery,
    ) -> None:
        self._sessions = sessions
        self._target = target
        self._stopper = stopper
        self._writer = writer
        self._recovery = recovery
        self._tidier = EnvironmentTidier(sessions, stopper)
        self._pauses = Pauses()
        self._moved: set[UUID] = set()  # releases whose new addresses do not all get traffic yet
        self._bringing_in: asyncio.Task[None] | None = None
        self._recovering: Sweep[UUID] = Sweep(
            "keeper.recovery", limit_s=RECOVERY_LIMIT_S, at_once=AT_ONCE, of_one=OF_ONE
        )
        self._undoing: Sweep[UUID] = Sweep(
            "keeper.abandoned", limit_s=STOP_LIMIT_S, at_once=STOPS_AT_ONCE, of_one=STOPS_OF_ONE
        )
        self._resting: Sweep[str] = Sweep(
            "keeper.resting", limit_s=STOP_LIMIT_S, at_once=STOPS_AT_ONCE, of_one=STOPS_OF_ONE
        )
        self._ending: Sweep[str] = Sweep(
            "keeper.leaked", limit_s=STOP_LIMIT_S, at_once=STOPS_AT_ONCE, of_one=STOPS_OF_ONE
        )

    async def run(self) -> None:
        """Run a pass now and then every few seconds until cancelled. Restarts do not wait for drains."""
        try:
            await asyncio.gather(self._every_few_seconds(self.look_after), self._every_few_seconds(self.tidy))
        finally:
            await self.close()

    async def close(self) -> None:
        """Cancel tasks under way; the rows let the next pass go on with them."""
        if self._bringing_in is not None:
            self._bringing_in.cancel()
        sweeps = (self._recovering, self._undoing, self._ending, self._resting)
        await asyncio.gather(self._tidier.close(), *(sweep.close() for sweep in sweeps))

    @staticmethod
    async def _every_few_seconds(look: Callable[[], Awaitable[None]]) -> None:
        while True:
            try:
                await look()
            except DeliveryError as error:
                log.warning("keeper.paused", reason=error.message)
            except Exception:
                log.exception("keeper.fault")
            await asyncio.sleep(LOOK_EVERY_S)

    async def look(self) -> None:
        """One look at everything, which waits a while for what it begins."""
        await self.look_after(wait_s=RECOVERY_WAIT_S)
        await self.tidy()

    async def look_after(self, *, wait_s: float = WAIT_S) -> None:
        """Restart instances that died or whose port another process took. The next pass does not wait for downloads."""
        await self._bring_back({status.instance_id: status for status in await self._target.list_instances()}, wait_s)

    async def tidy(self) -> None:
        """Undo abandoned rollouts; stop leaked instances, and processes of releases kept without traffic."""
        seen = await self._target.list_instances()
        await stages(
            "keeper",
            self._undo_abandoned,
            self._tidier.look,
            partial(self._end_leaked, seen),
            partial(self._end_resting, seen),
        )

    async def _bring_back(self, seen: Mapping[str, InstanceStatus], wait_s: float) -> None:
        async with transaction(self._sessions) as session:
            wanted = await KeepingRepository(session).instances_to_run()
        owners = {instance.release_id: organization_id for instance, organization_id in wanted}
        self._pauses.keep({instance.id for instance, _ in wanted})
        amiss: dict[UUID, list[Instance]] = {}
        for each, _ in wanted:
            if self._is_amiss(each, seen.get(each.id)):
                amiss.setdefault(each.release_id, []).append(each)
        await self._recovering.each(amiss, lambda rows: self._try_recover_all(rows, seen), owners=owners, wait_s=wait_s)
        self._bring_in()

    async def _try_recover_all(self, rows: Sequence[Instance], seen: Mapping[str, InstanceStatus]) -> None:
        """Instances of one release, in sequence: they share the release's lock."""
        for each in rows:
            await self._try_recover(each, seen.get(each.id))

    def _is_amiss(self, instance: Instance, status: InstanceStatus | None) -> bool:
        """Gone, beside a stranger, or not where the record says."""
        if status is None or status.gone:
            return self._pauses.is_over(instance.id)
        if (status.running_s or 0) > STAYED_S:
            self._pauses.forget(instance.id)
        if instance.type != WEB:
            return False
        return status.port_taken or (status.address, status.port) != (instance.address, instance.port)

    async def _try_recover(self, instance: Instance, status: InstanceStatus | None) -> None:
        """A failed start is logged and does not stop the pass."""
        if status is None or status.gone:
            self._pauses.begin(instance.id)
        try:
            after = await self._recovery.recover(instance.id)
        except DeliveryError as error:
            log.warning("keeper.not_restarted", instance_id=instance.id, reason=error.message)
        except Exception:
            log.exception("keeper.fault", instance_id=instance.id)
        else:
            if instance.type == WEB and after and (after.address, after.port) != (instance.address, instance.port):
                self._moved.add(instance.release_id)

    def _bring_in(self) -> None:
        """New addresses get traffic when they are healthy, which may take longer than until the next look."""
        if self._moved and (self._bringing_in is None or self._bringing_in.done()):
            self._bringing_in = asyncio.create_task(self._apply_moved(frozenset(self._moved)))

    async def _apply_moved(self, moved: frozenset[UUID]) -> None:
        try:
            await self._writer.apply(needing=[str(release_id) for release_id in moved])
        except HeldBackError as error:
            self._moved -= {each for each in moved if str(each) not in error.release_ids}
        except DeliveryError as error:
            log.warning("keeper.paused", reason=error.message)
        except Exception:
            log.exception("keeper.fault")
        else:
            self._moved -= moved

    async def _undo_abandoned(self) -> None:
        async with transaction(self._sessions) as session:
            abandoned = await KeepingRepository(session).abandoned()
        owners = {release.id: release.organization_id for release in abandoned}
        releases = {release.id: release for release in abandoned}
        await self._undoing.each(releases, self._undo, owners=owners, wait_s=WAIT_S)

    async def _undo(self, release: Release) -> None:
        if not await self._claim(release):
            return
        log.warning("keeper.abandoned", release_id=str(release.id))
        await self._writer.apply()
        await self._stopper.stop(release.id, keep=0)

    async def _claim(self, release: Release) -> bool:
        """End it and give its traffic to the stable release, in one transaction; False: it is wanted again by now.

        Ending the ones before it took its time. Should the keeper die behind this, the instances are found as those of
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

    async def _end_leaked(self, running: Sequence[InstanceStatus]) -> None:
        """Instances of releases that are over; only what was seen before the releases were read."""
        owners = {status.instance_id: UUID(status.release_id) for status in running if status.release_id}
        async with transaction(self._sessions) as session:
            ended = await KeepingRepository(session).ended(sorted(set(owners.values())))
            instances = InstanceRepository(session)
            rows = {i.id for each in ended for i in (*await instances.of(each), *await instances.beside(each))}
            whose = await KeepingRepository(session).organizations(ended)
        # One that still has a row is being stopped by an activity, which drains it first.
        leaked = {name: name for name, release_id in owners.items() if release_id in ended and name not in rows}
        by_owner = {name: whose.get(owners[name]) for name in leaked}
        await self._ending.each(leaked, self._end, owners=by_owner, wait_s=WAIT_S)

    async def _end_resting(self, running: Sequence[InstanceStatus]) -> None:
        """Processes beside a service that is kept without traffic: its workflow was lost before it ended them."""
        async with transaction(self._sessions) as session:
            resting = await KeepingRepository(session).resting()
        names = {each.instance_id: each.instance_id for each in running if each.instance_id in resting}
        await self._resting.each(names, self._rest, owners=resting, wait_s=WAIT_S)

    async def _rest(self, instance_id: str) -> None:
        """Unless its release was taken back meanwhile."""
        async with transaction(self._sessions) as session:
            resting = instance_id in await KeepingRepository(session).resting()
        if resting:
            await self._target.stop(instance_id)

    async def _end(self, instance_id: str) -> None:
        """Unless its activity came to its end since the look: then it did not leak."""
        if (await self._target.inspect(instance_id)).phase is not InstancePhase.ABSENT:
            log.warning("keeper.leaked", instance_id=instance_id)
            await self._target.stop(instance_id)
