"""What should run and does not, after a reboot or a crash, is started again."""

import asyncio
import os
from collections.abc import Mapping, Sequence
from uuid import UUID

import structlog

from activities.pauses import Pauses
from activities.recovery import InstanceRecovery
from activities.routing import RouteWriter
from domain.errors import DeliveryError
from domain.procfile import WEB
from drivers.routers.base import HeldBackError
from drivers.targets.base import InstanceStatus, Target
from runtime.reconciler import Reconciler
from runtime.sweeps import Sweep
from storage.engine import Sessions, transaction
from storage.models import Instance
from storage.repositories.reconciliation import KeepingRepository

log = structlog.get_logger(__name__)

# An instance that has lived so long is no more one that does not stay.
STAYED_S = 60.0
# Starting one is the work of a processor; after a reboot hundreds are started beside an API that starts, too.
AT_ONCE = min(16, max(4, 2 * len(os.sched_getaffinity(0))))
OF_ONE = AT_ONCE - AT_ONCE // 4
# An artifact is unpacked in seconds; who takes longer is ended, and does not keep others from being started.
ONE_LIMIT_S = 180.0
WAIT_S = 1.0


class MissingInstances(Reconciler):
    """Compares the database with the target. Passes may run in several workers at once; they do not wait for downloads.

    Args:
        wait_s: seconds that a pass waits for what it begins.
    """

    name = "missing_instances"
    interval_s = 5.0

    def __init__(
        self,
        *,
        sessions: Sessions,
        target: Target,
        writer: RouteWriter,
        recovery: InstanceRecovery,
        wait_s: float = WAIT_S,
    ) -> None:
        super().__init__()
        self._sessions = sessions
        self._target = target
        self._writer = writer
        self._recovery = recovery
        self._wait_s = wait_s
        self._pauses = Pauses()
        self._started = 0
        self._moved: set[UUID] = set()  # releases whose new addresses do not all get traffic yet
        self._bringing_in: asyncio.Task[None] | None = None
        self._recovering: Sweep[UUID] = Sweep(self.name, limit_s=ONE_LIMIT_S, at_once=AT_ONCE, of_one=OF_ONE)

    async def close(self) -> None:
        """The rows let the next pass go on with what is ended here."""
        if self._bringing_in is not None:
            self._bringing_in.cancel()
        await self._recovering.close()

    async def reconcile(self) -> int:
        """Restart instances that died or whose port another process took; returns how many since the last pass."""
        seen = {status.instance_id: status for status in await self._target.list_instances()}
        async with transaction(self._sessions) as session:
            wanted = await KeepingRepository(session).instances_to_run()
        owners = {instance.release_id: organization_id for instance, organization_id in wanted}
        self._pauses.keep({instance.id for instance, _ in wanted})
        amiss: dict[UUID, list[Instance]] = {}
        for each, _ in wanted:
            if self._is_amiss(each, seen.get(each.id)):
                amiss.setdefault(each.release_id, []).append(each)
        await self._recovering.each(
            amiss, lambda rows: self._try_recover_all(rows, seen), owners=owners, wait_s=self._wait_s
        )
        self._bring_in()
        started, self._started = self._started, 0
        return started

    async def _try_recover_all(self, rows: Sequence[Instance], seen: Mapping[str, InstanceStatus]) -> None:
        """Instances of one release, in sequence: they share the release's lock."""
        for each in rows:
            await self._try_recover(each, seen.get(each.id))

    def _is_amiss(self, instance: Instance, status: InstanceStatus | None) -> bool:
        """Gone, without its port because another process has it, or not where the record says."""
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
            log.warning("instance.not_restarted", instance_id=instance.id, reason=error.message)
        except Exception:
            log.exception("instance.not_restarted", instance_id=instance.id)
        else:
            self._started += after is not None
            if instance.type == WEB and after and (after.address, after.port) != (instance.address, instance.port):
                self._moved.add(instance.release_id)

    def _bring_in(self) -> None:
        """New addresses get traffic when they are healthy, which may take longer than until the next pass."""
        if self._moved and (self._bringing_in is None or self._bringing_in.done()):
            self._bringing_in = asyncio.create_task(self._apply_moved(frozenset(self._moved)))

    async def _apply_moved(self, moved: frozenset[UUID]) -> None:
        try:
            await self._writer.apply(needing=[str(release_id) for release_id in moved])
        except HeldBackError as error:
            self._moved -= {each for each in moved if str(each) not in error.release_ids}
        except DeliveryError as error:
            log.warning("instances.not_brought_in", reason=error.message)
        except Exception:
            log.exception("instances.not_brought_in")
        else:
            self._moved -= moved
