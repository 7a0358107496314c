"""How an operation ends that failed or was stopped: its error, and what its deployment is then."""

from typing import Any

from temporalio import workflow

from contracts.operations import DeploymentProgress, OperationError
from domain.errors import ErrorCode
from domain.lifecycle import DeploymentStatus, StepStatus
from workflows.activity_calls import to_operation_error, was_cancelled
from workflows.cancellation import Cancellation
from workflows.progress_tracker import ProgressTracker
from workflows.ui_details import superseded_message


def failure_error(fault: BaseException, progress: ProgressTracker, cancellation: Cancellation) -> OperationError:
    """What the operation failed with; for a stop who asked for it, and during which step."""
    error = to_operation_error(fault)
    if not was_cancelled(fault):
        return error
    step = next((s.name for s in progress.current.steps if s.status is StepStatus.IN_PROGRESS), None)
    where = f" during {step}" if step else ""
    if cancellation.requested is None:
        reason = workflow.cancellation_reason() or "no reason given"
        return OperationError(code=ErrorCode.CANCELLED, message=f"cancelled{where} through Temporal: {reason}")
    if cancellation.superseded_by is not None:
        details = {"superseded_by": str(cancellation.superseded_by.deployment_id)}
        message = f"{superseded_message(cancellation.superseded_by)}{where}"
        return OperationError(code=ErrorCode.SUPERSEDED, message=message, details=details)
    rolled_back = progress.deployment.status is DeploymentStatus.ROLLED_BACK
    return OperationError(
        code=ErrorCode.ROLLED_BACK if rolled_back else ErrorCode.CANCELLED,
        message=f"stopped{where} by {cancellation.requested.actor}: {cancellation.requested.reason}",
        details=error.details or {},
    )


def failure_fields(
    error: OperationError,
    deployment: DeploymentProgress,
    cancellation: Cancellation,
    *,
    cancelled: bool,
    default: DeploymentStatus | None,
) -> dict[str, Any]:
    """The fields of `DeploymentProgress` that change.

    Args:
        error: what the operation failed with.
        deployment: as it is now.
        cancellation: who asked to stop it.
        cancelled: whether it was stopped, and not at fault.
        default: what it is where its rollout says nothing else; None: failed or cancelled like the operation itself.
    """
    status = _status(deployment, cancellation, cancelled=cancelled)
    if status is None:
        status = default or (DeploymentStatus.CANCELLED if cancelled else DeploymentStatus.FAILED)
    by = cancellation.superseded_by if status is DeploymentStatus.SUPERSEDED else None
    fields = {
        "status": status,
        "error": error,
        "superseded_by": by.deployment_id if by else None,
        "next_open": None,
    }
    if status is DeploymentStatus.ROLLED_BACK:
        fields |= _reason(error, deployment)
    return fields


def _status(deployment: DeploymentProgress, cancellation: Cancellation, *, cancelled: bool) -> DeploymentStatus | None:
    """What the rollout came to; None: to nothing."""
    status = deployment.status
    if cancellation.superseded_by and cancelled and status is not DeploymentStatus.FAILED:
        return DeploymentStatus.SUPERSEDED
    if status is DeploymentStatus.ROLLING_BACK and deployment.rolled_back_to_build_id:
        return DeploymentStatus.ROLLED_BACK
    if status in (DeploymentStatus.ROLLED_BACK, DeploymentStatus.SUCCESS, DeploymentStatus.FAILED):
        return status
    return None


def _reason(error: OperationError, deployment: DeploymentProgress) -> dict[str, Any]:
    """The error is the reason for the rollback. If no user request met it, the error of our own probes is shown."""
    fields: dict[str, Any] = {}
    if deployment.rollback_reason is None:
        fields["rollback_reason"] = error.message
    probes, failed = error.details.get("probes"), error.details.get("failed_probes")
    if deployment.error_rate_percent is None and probes and failed is not None:
        rate = round(100 * failed / probes, 4)
        fields |= {"error_rate_percent": rate, "performance_metrics": {"error_rate_percent": rate}}
    return fields
