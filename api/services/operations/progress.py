"""Progress of an operation, from its row and, while it runs, its workflow. Percent and version never decrease."""

from collections import OrderedDict
from dataclasses import dataclass
from uuid import UUID

from api.operations_port import OperationsPort
from api.services.operations.eta import Learned
from contracts.operations import OperationError, Progress, StepProgress
from domain.lifecycle import FINISHED_OPERATIONS, OperationKind, OperationStatus
from storage.models import Operation

REMEMBERED = 2000
CANCELLABLE = frozenset({OperationStatus.PENDING, OperationStatus.IN_PROGRESS})


@dataclass(frozen=True)
class Snapshot:
    """An operation at one moment."""

    row: Operation
    progress: Progress
    eta_seconds: int | None = None

    @property
    def done(self) -> bool:
        """The operation is finished."""
        return self.progress.status in FINISHED_OPERATIONS

    @property
    def mark(self) -> tuple[int, OperationStatus, bool]:
        """Differs between two snapshots if something has changed."""
        return self.progress.version, self.progress.status, self.row.cancel_requested_at is not None


class ProgressReader:
    """Merges row and workflow, and remembers the newest progress it has answered for running operations.

    Without that memory a workflow that does not answer for a moment would throw a client back to an older row.
    """

    def __init__(self, operations: OperationsPort, learned: Learned) -> None:
        self._operations = operations
        self._learned = learned
        self._told: OrderedDict[UUID, Progress] = OrderedDict()

    async def of(self, row: Operation) -> Snapshot:
        """An operation as it is now."""
        stored = _stored(row)
        if stored.status in FINISHED_OPERATIONS:
            self._told.pop(row.id, None)
            return Snapshot(row, stored)
        asked = await self._operations.progress(row.workflow_id)
        newest = self._newest(row, stored, asked)
        return Snapshot(row, newest, await self._learned.eta(row, newest))

    def _newest(self, row: Operation, stored: Progress, asked: Progress | None) -> Progress:
        known = [one for one in (stored, asked, self._told.get(row.id)) if one is not None]
        newest = max(known, key=lambda one: one.version)
        percent = max(one.progress_percent for one in known)
        newest = newest.model_copy(update={"progress_percent": percent})
        self._told[row.id] = newest
        self._told.move_to_end(row.id)
        while len(self._told) > REMEMBERED:
            self._told.popitem(last=False)
        return _with_cancel(row, newest)


def stored_snapshot(row: Operation) -> Snapshot:
    """An operation as its row knows it, without asking the workflow: for lists."""
    return Snapshot(row, _with_cancel(row, _stored(row)))


def _with_cancel(row: Operation, progress: Progress) -> Progress:
    """A cancel that was asked for is shown at once, before the workflow reports it."""
    if row.cancel_requested_at is None or progress.status not in CANCELLABLE:
        return progress
    return progress.model_copy(update={"status": OperationStatus.CANCELLING})


def _stored(row: Operation) -> Progress:
    return Progress(
        operation_id=row.id,
        kind=OperationKind(row.kind),
        status=OperationStatus(row.status),
        version=row.version,
        progress_percent=row.progress_percent,
        current_step=row.current_step,
        steps=tuple(StepProgress.model_validate(step) for step in row.steps),
        error=OperationError.model_validate(row.error) if row.error else None,
        started_at=row.started_at,
        completed_at=row.completed_at,
    )
