"""Removes workspaces whose workflow is gone, or whose last step did not remove them."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from uuid import UUID

import structlog

from activities.build_slots import BuildSlots
from activities.workspaces import BuildFolders
from orchestration.operations import Operations
from reconcilers.orphaned_workflows import GRACE_S
from runtime.reconciler import Reconciler
from runtime.sweeps import Sweep
from storage.engine import Sessions, transaction
from storage.repositories.standing import StandingRepository

log = structlog.get_logger(__name__)

# For ending what still runs in a workspace, and for removing a tree of a million files.
ONE_LIMIT_S = 600.0
WAIT_S = 10.0
AT_ONCE = 8


class RecordedWorkflows:
    """Asks Temporal for the workflow that the record has of an operation."""

    def __init__(
        self, sessions: Sessions, operations: Operations, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._sessions = sessions
        self._operations = operations
        self._clock = clock
        self._missing_since: dict[UUID, float] = {}

    async def is_running(self, operation_id: UUID) -> bool:
        """Whether it is open. Without a record it is ended after a while (`OrphanedWorkflows`), and counts as closed.

        Raises:
            DependencyError: nobody knows.
        """
        async with transaction(self._sessions) as session:
            workflow_id = await StandingRepository(session).workflow_id(operation_id)
        if workflow_id is not None:
            self._missing_since.pop(operation_id, None)
            return await self._operations.is_running(workflow_id)
        # The tables may be empty for a moment only, while a backup is being restored.
        waits = self._clock() - self._missing_since.setdefault(operation_id, self._clock()) < GRACE_S
        if not waits:
            del self._missing_since[operation_id]
        return waits


class OrphanedWorkspaces(Reconciler):
    """Their slots are given back, too: the next build of the organization may wait for one.

    A removal that hangs goes on beside the next passes.

    Args:
        folders: where they are.
        slots: of this worker.
        is_running: tells whether an operation's workflow is open; raises `DeliveryError` when that is not known.
    """

    name = "orphaned_workspaces"
    interval_s = 10.0
    jitter = 0.0  # of one machine

    def __init__(self, folders: BuildFolders, slots: BuildSlots, is_running: Callable[[UUID], Awaitable[bool]]) -> None:
        super().__init__()
        self._folders = folders
        self._slots = slots
        self._is_running = is_running
        self._sweep: Sweep[UUID] = Sweep(self.name, limit_s=ONE_LIMIT_S, at_once=AT_ONCE, of_one=AT_ONCE // 2)
        self._removed = 0

    async def reconcile(self) -> int:
        """Returns how many were removed since the last pass."""
        owners = await asyncio.to_thread(self._owners)
        await self._sweep.each({each: each for each in owners}, self._clear, owners=owners, wait_s=WAIT_S)
        removed, self._removed = self._removed, 0
        return removed

    async def close(self) -> None:
        await self._sweep.close()

    def _owners(self) -> dict[UUID, str]:
        found = {*self._folders.operations(), *self._slots.held}
        return {each: self._folders.organization(each) for each in found}

    async def _clear(self, operation_id: UUID) -> None:
        if not await self._is_running(operation_id):
            log.warning("workspace.orphaned", operation_id=str(operation_id))
            try:
                await self._folders.remove(operation_id)
                self._removed += 1
            finally:
                self._slots.give_back(operation_id)
