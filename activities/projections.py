"""What clients read: the rows of an operation and its deployment."""

from datetime import UTC, datetime
from typing import Any

from activities.failures import reported
from contracts.operations import RECORD_PROGRESS, DeploymentView, Progress, RecordProgress
from contracts.payload import Nothing
from contracts.stubs import implements
from storage.engine import Sessions, transaction
from storage.repositories.outcomes import Cause
from storage.repositories.projections import ProjectionRepository


class ProjectionActivities:
    """Writes projections; idempotent, and an older state never overwrites a newer one."""

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions

    @implements(RECORD_PROGRESS)
    @reported
    async def record_progress(self, request: RecordProgress) -> Nothing:
        async with transaction(self._sessions) as session:
            rows = ProjectionRepository(session)
            progress = request.progress
            fresh = await rows.operation(progress.operation_id, progress.version, operation_values(progress))
            if fresh and request.deployment:
                view = request.deployment
                cause = Cause(progress.operation_id, progress.version, moment_of(progress))
                await rows.deployment(view.deployment_id, deployment_values(view), cause)
        return Nothing()


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
        "current_step": progress.current_step,
        "steps": [step.model_dump(mode="json") for step in progress.steps],
        "error": progress.error.model_dump(mode="json") if progress.error else None,
        "started_at": progress.started_at,
        "completed_at": progress.completed_at,
    }


def deployment_values(view: DeploymentView) -> dict[str, Any]:
    """The columns of `deployments` that a workflow knows; what it does not know stays."""
    values: dict[str, Any] = {
        "status": view.status,
        "build_id": view.build_id,
        "health_check_status": view.health,
        "error": view.error.model_dump(mode="json") if view.error else None,
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
