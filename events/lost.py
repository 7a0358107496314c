"""Finds operations whose workflow is gone (file lost, backup restored, terminated by hand) and ends their rows."""

import asyncio
from uuid import UUID

import structlog

from contracts.names import OPERATION_WORKFLOWS
from domain.errors import DeliveryError, ErrorCode
from orchestration.operations import Operations
from storage.engine import Sessions, transaction
from storage.models import Operation
from storage.repositories.projections import ProjectionRepository

log = structlog.get_logger(__name__)

LOOK_EVERY_S = 5.0
SILENT_FOR_S = 10.0
BATCH = 50

LOST = {
    "code": str(ErrorCode.ORCHESTRATION_LOST),
    "message": "the workflow of this operation is gone, so nobody carries it on; what served before still serves. "
    "Look at the environment, then start a new operation",
    "details": {},
}


class LostSweep:
    """A row not finished while its started workflow is gone becomes `failed`; it is never restarted blindly."""

    def __init__(self, sessions: Sessions, operations: Operations) -> None:
        self._sessions = sessions
        self._operations = operations

    async def run(self) -> None:
        """Look every few seconds until cancelled."""
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            try:
                await self.look()
            except DeliveryError as error:
                log.warning("lost_sweep.paused", reason=error.message)
            except Exception:
                log.exception("lost_sweep.fault")

    async def look(self, *, silent_for_s: float = SILENT_FOR_S) -> int:
        """One look at all that are silent, page by page; returns how many were found lost."""
        lost, last, running = 0, None, await self._running()
        while True:
            async with transaction(self._sessions) as session:
                page = await ProjectionRepository(session).unfinished(
                    older_than_s=silent_for_s, limit=BATCH, after=last
                )
            for operation in page:
                if operation.id not in running and not await self._operations.is_running(operation.id):
                    lost += await self._end(operation)
            if len(page) < BATCH:
                return lost
            last = page[-1].id

    async def _running(self) -> set[UUID]:
        """What is listed as running, a page at a time; what began just now may not be listed yet, and is asked for."""
        found: set[UUID] = set()
        async for page in self._operations.open_workflows(OPERATION_WORKFLOWS):
            found.update(map(UUID, page))
        return found

    async def _end(self, operation: Operation) -> bool:
        """Unless it has told anything since it was read: then it came to its end meanwhile, and is not lost."""
        async with transaction(self._sessions) as session:
            ended = await ProjectionRepository(session).lost(operation.id, LOST, version=operation.version)
        if ended:
            log.error("operation.lost", operation_id=str(operation.id))
        return ended
