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
from storage.engine import Sessions, transaction
from storage.repositories.keeping import KeepingRepository

log = structlog.get_logger(__name__)

LOOK_EVERY_S = 5.0
PAUSE_AFTER_FAULT_S = 1.0
# How long others have to stop what is over but not for good.
LATE_S = 20.0


class Bell(Protocol):
    """Rings when a project was deleted."""

    async def wait(self, seconds: float) -> bool: ...


class ProjectRemover:
    """Every look is safe to repeat and to run in several workers at once. Nobody waits for a slow drain."""

    def __init__(self, sessions: Sessions, stopper: InstanceStopper, writer: RouteWriter, bell: Bell) -> None:
        self._sessions = sessions
        self._stopper = stopper
        self._writer = writer
        self._bell = bell
        self._stopping: set[UUID] = set()

    async def run(self) -> None:
        """Look now, whenever the bell rings, and every few seconds, until cancelled."""
        rung = True  # before we were here, perhaps
        async with asyncio.TaskGroup() as group:
            while True:
                try:
                    await self.look(group, rung=rung)
                    rung = await self._bell.wait(LOOK_EVERY_S)
                except DeliveryError as error:
                    log.warning("remover.paused", reason=error.message)
                    await asyncio.sleep(PAUSE_AFTER_FAULT_S)
                except Exception:
                    log.exception("remover.fault")
                    await asyncio.sleep(PAUSE_AFTER_FAULT_S)

    async def look(self, group: asyncio.TaskGroup, *, rung: bool) -> None:
        """One look; what it begins goes on in the group."""
        async with transaction(self._sessions) as session:
            found = set(await KeepingRepository(session).withdrawn(late_s=LATE_S)) - self._stopping
        if found or rung:
            await self._writer.apply()
        for release_id in sorted(found):
            self._stopping.add(release_id)
            group.create_task(self._stop(release_id))

    async def _stop(self, release_id: UUID) -> None:
        """One that cannot be stopped now is found again by the next look."""
        try:
            await self._stopper.stop(release_id, keep=0)
            log.info("remover.stopped", release_id=str(release_id))
        except DeliveryError as error:
            log.warning("remover.not_stopped", release_id=str(release_id), reason=error.message)
        except Exception:
            log.exception("remover.fault", release_id=str(release_id))
        finally:
            self._stopping.discard(release_id)
