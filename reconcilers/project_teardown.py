"""Services of deleted projects leave the world: routes first, then instances drain and stop.

The rows were ended in the transaction of the request. What is left to do stands in them, so it does not matter who
dies: whichever worker looks next goes on.
"""

import asyncio
from typing import Protocol
from uuid import UUID

import structlog

from activities.instances import InstanceStopper
from activities.routing import RouteWriter
from domain.errors import DeliveryError
from reconcilers.environments import STOP_LIMIT_S, STOPS_AT_ONCE, STOPS_OF_ONE
from runtime.sweeps import Sweep
from storage.engine import Sessions, transaction
from storage.repositories.reconciliation import KeepingRepository

log = structlog.get_logger(__name__)

LOOK_EVERY_S = 5.0
PAUSE_AFTER_FAULT_S = 1.0
# How long others have to stop what is over but not for good.
LATE_S = 20.0


class Wakeup(Protocol):
    """Rings when a project was deleted."""

    async def wait(self, seconds: float) -> bool: ...


class ProjectRemover:
    """Passes are idempotent and may run in several workers at once. They do not wait for drains."""

    def __init__(self, sessions: Sessions, stopper: InstanceStopper, writer: RouteWriter, bell: Wakeup) -> None:
        self._sessions = sessions
        self._stopper = stopper
        self._writer = writer
        self._bell = bell
        self._stopping: Sweep[UUID] = Sweep("remover", limit_s=STOP_LIMIT_S, at_once=STOPS_AT_ONCE, of_one=STOPS_OF_ONE)

    async def run(self) -> None:
        """Run a pass now, at each NOTIFY, and every few seconds, until cancelled."""
        rung = True  # before we were here, perhaps
        try:
            while True:
                try:
                    await self.look(rung=rung)
                    rung = await self._bell.wait(LOOK_EVERY_S)
                except DeliveryError as error:
                    log.warning("remover.paused", reason=error.message)
                    await asyncio.sleep(PAUSE_AFTER_FAULT_S)
                except Exception:
                    log.exception("remover.fault")
                    await asyncio.sleep(PAUSE_AFTER_FAULT_S)
        finally:
            await self._stopping.close()

    async def look(self, *, rung: bool, wait_s: float | None = 0.0) -> None:
        """One look; what it begins goes on beside the next ones, each release for itself."""
        async with transaction(self._sessions) as session:
            found = await KeepingRepository(session).withdrawn(late_s=LATE_S)
        if rung or set(found) - self._stopping.under_way:
            await self._writer.apply()
        releases = {release_id: release_id for release_id in found}
        await self._stopping.each(releases, self._stop, owners=found, wait_s=wait_s)

    async def _stop(self, release_id: UUID) -> None:
        await self._stopper.stop(release_id, keep=0)
        log.info("remover.stopped", release_id=str(release_id))
