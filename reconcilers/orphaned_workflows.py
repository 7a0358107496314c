"""Ends workflows without an open operation: they would hold an environment's lock or wait for people forever.

After a restore of PostgreSQL rows are missing whose workflows run; after one of Temporal's database workflows run again
whose operations are finished. The record wins: they are ended, and the other reconcilers clear what they leave behind.
"""

import time
from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass
from uuid import UUID

import structlog

from contracts.names import (
    OPERATION_WORKFLOWS,
    WorkflowName,
    environment_workflow_id,
    operation_of,
    webhook_delivery_workflow_id,
)
from domain.errors import DeliveryError
from orchestration.operations import Operations
from runtime.reconciler import Reconciler
from storage.engine import Sessions, transaction
from storage.repositories.standing import StandingRepository

log = structlog.get_logger(__name__)

# A workflow whose operation is finished still gives back its turn; and while a backup is being restored the tables are
# empty for a moment. Only what is without a record for so long is ended.
GRACE_S = 30.0

REASON = "its record is finished or was removed: the database was restored, or that of Temporal"

# Of rows: the ids of the workflows that they want.
Wanted = Callable[[StandingRepository, Collection[UUID]], Awaitable[set[str]]]


@dataclass(frozen=True)
class Kind:
    """Workflows of some types, which stand for rows.

    Attributes:
        names: the types.
        row_of: the row that a workflow's id names; None: it is no id of ours.
        wanted: which of some rows are open; the ids of their workflows.
    """

    names: Collection[WorkflowName]
    row_of: Callable[[str], UUID | None]
    wanted: Wanted


def _made_by(make: Callable[[UUID], str]) -> Callable[[str], UUID | None]:
    """The way back from an id that is a word and the row's id."""
    prefix = make(UUID(int=0)).removesuffix(str(UUID(int=0)))

    def row_of(workflow_id: str) -> UUID | None:
        try:
            return UUID(workflow_id.removeprefix(prefix)) if workflow_id.startswith(prefix) else None
        except ValueError:
            return None

    return row_of


async def _environments(standing: StandingRepository, ids: Collection[UUID]) -> set[str]:
    return {environment_workflow_id(found) for found in await standing.environments(ids)}


async def _webhook_deliveries(standing: StandingRepository, ids: Collection[UUID]) -> set[str]:
    return {webhook_delivery_workflow_id(found) for found in await standing.webhook_deliveries(ids)}


KINDS = (
    Kind(OPERATION_WORKFLOWS, operation_of, StandingRepository.open_workflows),
    Kind((WorkflowName.ENVIRONMENT,), _made_by(environment_workflow_id), _environments),
    Kind((WorkflowName.WEBHOOK_DELIVERY,), _made_by(webhook_delivery_workflow_id), _webhook_deliveries),
)


class OrphanedWorkflows(Reconciler):
    """One listing of what is open a pass, one question to PostgreSQL a page. Safe to run in several workers."""

    name = "orphaned_workflows"
    interval_s = 10.0
    limit_s = 300.0
    begins_at_once = False

    def __init__(
        self, sessions: Sessions, operations: Operations, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        super().__init__(clock=clock)
        self._sessions = sessions
        self._operations = operations
        self._since: Mapping[str, float] = {}  # when each was first seen without a record

    async def reconcile(self) -> int:
        """Returns how many workflows were ended."""
        now, seen, ended = self._clock(), dict[str, float](), 0
        for kind in KINDS:
            async for page in self._operations.open_workflows(kind.names):
                for workflow_id in await self._without_record(kind, page):
                    since = self._since.get(workflow_id, now)
                    if now - since >= GRACE_S and await self._end(workflow_id):
                        ended += 1
                    else:
                        seen[workflow_id] = since
        self._since = seen
        return ended

    async def _without_record(self, kind: Kind, page: Collection[str]) -> list[str]:
        rows = {workflow_id: row for workflow_id in page if (row := kind.row_of(workflow_id)) is not None}
        if not rows:
            return []
        async with transaction(self._sessions) as session:
            wanted = await kind.wanted(StandingRepository(session), rows.values())
        return [workflow_id for workflow_id in rows if workflow_id not in wanted]

    async def _end(self, workflow_id: str) -> bool:
        """False: it cannot be ended now, which does not keep the others; the next pass finds it again."""
        try:
            await self._operations.terminate(workflow_id, REASON)
        except DeliveryError as error:
            log.warning("workflow.orphan_kept", workflow_id=workflow_id, reason=error.message)
            return False
        except Exception:
            log.exception("workflow.orphan_kept", workflow_id=workflow_id)
            return False
        log.warning("workflow.orphan_ended", workflow_id=workflow_id)
        return True
