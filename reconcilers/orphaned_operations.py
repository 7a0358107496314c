"""Finds operations whose workflow is gone (file lost, backup restored, terminated by hand) and ends their rows."""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from uuid import UUID

import structlog

from contracts.names import OPERATION_WORKFLOWS
from domain.errors import ErrorCode
from orchestration.operations import Operations
from reconcilers.disagreements import Disagreements
from runtime.reconciler import Reconciler
from runtime.sweeps import Sweep
from storage.engine import Sessions, transaction
from storage.models import Operation
from storage.repositories.projections import ProjectionRepository

log = structlog.get_logger(__name__)

SILENT_FOR_S = 10.0
BATCH = 50
LIMIT_S = 10.0
MOST_AWAY = 8

LOST = {
    "code": str(ErrorCode.ORCHESTRATION_LOST),
    "message": "the workflow of this operation is gone, so nobody carries it on; what served before still serves. "
    "Look at the environment, then start a new operation",
    "details": {},
}


OF_ANOTHER_PAST = {
    **LOST,
    "message": "the workflow of this operation and its record do not tell of the same past, since one of the two "
    "databases was restored, so it is not carried on; what serves by the record serves. "
    "Look at the environment, then start a new operation",
}


class OrphanedOperations(Reconciler):
    """Marks operations as failed whose started workflow is gone. They are never restarted.

    The same with a workflow that is there and knows another past.
    """

    name = "orphaned_operations"
    interval_s = 5.0
    limit_s = 300.0
    begins_at_once = False

    def __init__(
        self, sessions: Sessions, operations: Operations, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        super().__init__(clock=clock)
        self._sessions = sessions
        self._operations = operations
        self._disagreements = Disagreements(operations, clock=clock)
        self._sweep: Sweep[UUID] = Sweep(self.name, limit_s=LIMIT_S, most_away=MOST_AWAY)

    async def reconcile(self) -> int:
        """Look at all that are silent, page by page; returns how many were found lost."""
        lost, last, running = 0, None, await self._running()
        listed: list[Operation] = []
        while True:
            async with transaction(self._sessions) as session:
                page = await ProjectionRepository(session).unfinished(
                    older_than_s=SILENT_FOR_S, limit=BATCH, after=last
                )
            unlisted = {operation.id: operation for operation in page if operation.workflow_id not in running}
            listed += [operation for operation in page if operation.workflow_id in running]
            lost += await self._each(unlisted)
            if len(page) < BATCH:
                return lost + await self._end_disagreeing(listed)
            last = page[-1].id

    async def _end_disagreeing(self, listed: Sequence[Operation]) -> int:
        found = await self._disagreements.among(listed)
        return sum([await self._end(operation, OF_ANOTHER_PAST) for operation in found])

    async def _running(self) -> set[str]:
        """Ids of workflows that are listed as running, a page at a time.

        What began just now may not be listed yet, and is asked for. One that was started by hand may have any id.
        """
        found: set[str] = set()
        async for page in self._operations.open_workflows(OPERATION_WORKFLOWS):
            found.update(page)
        return found

    async def _each(self, page: Mapping[UUID, Operation]) -> int:
        ended = 0

        async def look_at(operation: Operation) -> None:
            nonlocal ended
            if not await self._operations.is_running(operation.workflow_id) and await self._end(operation):
                ended += 1

        await self._sweep.each(page, look_at)
        return ended

    async def _end(self, operation: Operation, why: Mapping[str, Any] = LOST) -> bool:
        """End it, unless its row has changed since it was read: then it has finished meanwhile, and is not lost."""
        async with transaction(self._sessions) as session:
            ended = await ProjectionRepository(session).lost(operation.id, dict(why), version=operation.version)
        if ended:
            log.error("operation.lost", operation_id=str(operation.id), why=why["message"])
        return ended
