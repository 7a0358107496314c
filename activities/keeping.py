"""The keeper: what should run runs and what should not does not, after a reboot, a lost workflow, a crash."""

import asyncio
from collections.abc import Mapping, Sequence
from uuid import UUID

import structlog

from activities.instances import InstanceStopper, Known, instance_spec
from activities.routing import RouteWriter
from activities.secrets import ProjectSecrets
from activities.tidying import EnvironmentTidier
from domain.delivery import ServiceSpec
from domain.errors import DeliveryError
from domain.lifecycle import ReleaseState
from drivers.targets.base import InstancePhase, InstanceStatus, Target
from storage.engine import Sessions, transaction
from storage.models import Environment, Instance, Release
from storage.repositories.keeping import KeepingRepository
from storage.repositories.releases import InstanceRepository, ReleaseRepository
from storage.repositories.routing import RoutingRepository

log = structlog.get_logger(__name__)

LOOK_EVERY_S = 5.0
DEAD = (InstancePhase.STOPPED, InstancePhase.ABSENT)


class InstanceKeeper:
    """Compares the database with the target. Every look is safe to repeat and to run in several workers at once."""

    def __init__(
        self,
        *,
        sessions: Sessions,
        secrets: ProjectSecrets,
        target: Target,
        stopper: InstanceStopper,
        writer: RouteWriter,
    ) -> None:
        self._sessions = sessions
        self._secrets = secrets
        self._target = target
        self._stopper = stopper
        self._writer = writer
        self._tidier = EnvironmentTidier(sessions, stopper)

    async def run(self) -> None:
        """Look now and then every few seconds until cancelled."""
        while True:
            try:
                await self.look()
            except DeliveryError as error:
                log.warning("keeper.paused", reason=error.message)
            except Exception:
                log.exception("keeper.fault")
            await asyncio.sleep(LOOK_EVERY_S)

    async def look(self) -> None:
        """Bring back what died with its keeper, undo what was abandoned, end what leaked."""
        seen = {status.instance_id: status for status in await self._target.list_instances()}
        await self._bring_back(seen)
        await self._undo_abandoned()
        await self._tidier.look()
        await self._end_leaked(list(seen.values()))

    async def _bring_back(self, seen: Mapping[str, InstanceStatus]) -> None:
        async with transaction(self._sessions) as session:
            wanted = await KeepingRepository(session).instances_to_run()
        for instance in wanted:
            status = seen.get(instance.id)
            if status is None or status.phase in DEAD:
                await self._try_restart(instance)

    async def _try_restart(self, instance: Instance) -> None:
        """One that cannot be started must not keep the others down."""
        try:
            await self._restart(instance)
        except DeliveryError as error:
            log.warning("keeper.not_restarted", instance_id=instance.id, reason=error.message)

    async def _restart(self, instance: Instance) -> None:
        """Start it under the lock of its release, so that nobody stops the release at the same moment."""
        async with transaction(self._sessions) as session:
            release = await KeepingRepository(session).claim_serving(instance.release_id)
            if release is None:
                return
            known = Known(release, ServiceSpec.model_validate(release.service), [instance])
            secrets = await self._secrets.of_release(session, release)
            status = await self._target.start(instance_spec(known, instance.index, secrets))
            moved = (status.address, status.port) != (instance.address, instance.port)
            if moved:
                await self._tell_new_place(InstanceRepository(session), RoutingRepository(session), instance, status)
        log.info("keeper.restarted", instance_id=instance.id, port=status.port)
        if moved:
            await self._writer.apply()

    @staticmethod
    async def _tell_new_place(
        instances: InstanceRepository, routes: RoutingRepository, instance: Instance, status: InstanceStatus
    ) -> None:
        await instances.move(instance.id, address=status.address, port=status.port)
        await routes.touch()

    async def _undo_abandoned(self) -> None:
        async with transaction(self._sessions) as session:
            abandoned = await KeepingRepository(session).abandoned()
        for release in abandoned:
            if not await self._claim(release):
                continue
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
            rows = {i.id for release_id in ended for i in await InstanceRepository(session).of(release_id)}
        for instance_id, release_id in owners.items():
            # One that still has a row is being stopped by an activity, which drains it first.
            if release_id in ended and instance_id not in rows:
                log.warning("keeper.leaked", instance_id=instance_id)
                await self._target.stop(instance_id)
