"""What clients read: the rows of an operation and its deployment."""

from datetime import UTC, datetime
from typing import Any

import structlog
from sqlalchemy.exc import DataError, ProgrammingError

from activities.failures import translate_errors
from contracts.operations import RECORD_PROGRESS, DeploymentProgress, OperationError, Progress, RecordProgress
from contracts.payload import Nothing
from contracts.stubs import implements
from domain.foreign_text import storable_value
from storage.engine import Sessions, transaction
from storage.repositories.outcomes import Cause
from storage.repositories.projections import ProjectionRepository

log = structlog.get_logger(__name__)


class ProjectionActivities:
    """Writes projections; idempotent, and an older state never overwrites a newer one."""

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions

    @implements(RECORD_PROGRESS)
    @translate_errors
    async def record_progress(self, request: RecordProgress) -> Nothing:
        try:
            await self._write(request)
        except (DataError, ProgrammingError, UnicodeEncodeError):
            # Clients wait for this row: an end without its words is better than none.
            log.exception("projection.unwritable", operation_id=str(request.progress.operation_id))
            await self._write(_reduced(request))
        return Nothing()

    async def _write(self, request: RecordProgress) -> None:
        async with transaction(self._sessions) as session:
            rows = ProjectionRepository(session)
            progress = request.progress
            fresh = await rows.operation(progress.operation_id, progress.version, operation_values(progress))
            if fresh and request.deployment:
                view = request.deployment
                cause = Cause(progress.operation_id, progress.version, moment_of(progress))
                await rows.deployment(view.deployment_id, deployment_values(view), cause)


def _reduced(request: RecordProgress) -> RecordProgress:
    """The same states with codes and plain words only."""
    progress, view = request.progress, request.deployment
    steps = tuple(step.model_copy(update={"detail": None}) for step in progress.steps)
    plain = {"steps": steps, "current_step": None, "error": _plain(progress.error)}
    return RecordProgress(
        progress=progress.model_copy(update=plain),
        deployment=view.model_copy(update={"error": _plain(view.error), "rollback_reason": None}) if view else None,
    )


def _plain(error: OperationError | None) -> OperationError | None:
    if error is None:
        return None
    words = "".join(c if " " <= c <= "~" else "?" for c in error.message)
    return OperationError(code=error.code, message=words)


def _error(error: OperationError | None) -> dict[str, Any] | None:
    return storable_value(error.model_dump(mode="json")) if error else None


def moment_of(progress: Progress) -> datetime:
    """The last moment that a progress knows of; the same however often it is recorded."""
    moments = [progress.started_at, progress.completed_at]
    for step in progress.steps:
        moments += [step.started_at, step.completed_at, step.waiting_since]
    return max((moment for moment in moments if moment is not None), default=datetime.fromtimestamp(0, UTC))


def operation_values(progress: Progress) -> dict[str, Any]:
    """The columns of `operations` that a workflow owns."""
    return {
        "status": progress.status,
        "progress_percent": progress.progress_percent,
        "current_step": storable_value(progress.current_step),
        "steps": storable_value([step.model_dump(mode="json") for step in progress.steps]),
        "error": _error(progress.error),
        "started_at": progress.started_at,
        "completed_at": progress.completed_at,
    }


def deployment_values(view: DeploymentProgress) -> dict[str, Any]:
    """The columns of `deployments` that a workflow knows; what it does not know stays."""
    values: dict[str, Any] = {
        "status": view.status,
        "build_id": view.build_id,
        "health_check_status": view.health,
        "error": _error(view.error),
        "error_rate_percent": view.error_rate_percent,
        "performance_metrics": view.performance_metrics,
        "rollback_reason": view.rollback_reason,
        "rolled_back_to_build_id": view.rolled_back_to_build_id,
        "superseded_by": view.superseded_by,
        "git_branch": view.git_branch,
        "git_commit_hash": view.git_commit_hash,
    }
    known = {name: value for name, value in values.items() if value is not None}
    return {**known, "next_open": view.next_open}  # a freeze that is over has to be forgotten
