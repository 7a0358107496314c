"""What runs and should not is ended: instances of releases that are over, processes of releases without traffic."""

from collections.abc import Sequence
from functools import partial
from uuid import UUID

import structlog

from drivers.targets.base import InstancePhase, InstanceStatus, Target
from reconcilers.environments import STOP_LIMIT_S, STOPS_AT_ONCE, STOPS_OF_ONE, WAIT_S
from runtime.reconciler import Reconciler
from runtime.sweeps import Sweep, stages
from storage.engine import Sessions, transaction
from storage.repositories.reconciliation import KeepingRepository
from storage.repositories.releases import InstanceRepository

log = structlog.get_logger(__name__)


class SurplusInstances(Reconciler):
    """Compares the database with the target. Passes may run in several workers at once; they do not wait for ends."""

    name = "surplus_instances"
    interval_s = 5.0

    def __init__(self, sessions: Sessions, target: Target) -> None:
        super().__init__()
        self._sessions = sessions
        self._target = target
        self._resting: Sweep[str] = Sweep(
            "instances.resting", limit_s=STOP_LIMIT_S, at_once=STOPS_AT_ONCE, of_one=STOPS_OF_ONE
        )
        self._ending: Sweep[str] = Sweep(
            "instances.leaked", limit_s=STOP_LIMIT_S, at_once=STOPS_AT_ONCE, of_one=STOPS_OF_ONE
        )

    async def close(self) -> None:
        await self._resting.close()
        await self._ending.close()

    async def reconcile(self) -> int:
        """Returns how many were ended."""
        seen = await self._target.list_instances()
        return await stages(self.name, partial(self._end_leaked, seen), partial(self._end_resting, seen))

    async def _end_leaked(self, running: Sequence[InstanceStatus]) -> int:
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
        return self._ending.finished()

    async def _end_resting(self, running: Sequence[InstanceStatus]) -> int:
        """Processes beside a service that is kept without traffic: its workflow was lost before it ended them."""
        async with transaction(self._sessions) as session:
            resting = await KeepingRepository(session).resting()
        names = {each.instance_id: each.instance_id for each in running if each.instance_id in resting}
        await self._resting.each(names, self._stop_resting, owners=resting, wait_s=WAIT_S)
        return self._resting.finished()

    async def _stop_resting(self, instance_id: str) -> bool:
        """Unless its release was taken back meanwhile."""
        async with transaction(self._sessions) as session:
            resting = instance_id in await KeepingRepository(session).resting()
        if resting:
            await self._target.stop(instance_id)
        return resting

    async def _end(self, instance_id: str) -> bool:
        """Unless its activity came to its end since the pass began: then it did not leak."""
        if (await self._target.inspect(instance_id)).phase is InstancePhase.ABSENT:
            return False
        log.warning("instance.leaked", instance_id=instance_id)
        await self._target.stop(instance_id)
        return True
