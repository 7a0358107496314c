"""What an operation says to the entity that gives out its environment's turn."""

from collections.abc import Sequence

from temporalio import workflow

from contracts.operations import OperationContext
from contracts.rollouts import LockRelease, LockRequest, RetiredRelease


def turn_request(place: OperationContext, *, purpose: str, urgent: bool, override_freeze: bool) -> LockRequest:
    """This workflow asks for the turn."""
    return LockRequest(
        environment_id=place.environment_id,
        workflow_id=workflow.info().workflow_id,
        deployment_id=place.deployment_id,
        urgent=urgent,
        purpose=purpose,
        override_freeze=override_freeze,
        **_names(place),
    )


def turn_return(place: OperationContext, retired: Sequence[RetiredRelease]) -> LockRelease:
    """This workflow gives the turn back; the releases are to be stopped in time."""
    return LockRelease(
        environment_id=place.environment_id,
        workflow_id=workflow.info().workflow_id,
        deployment_id=place.deployment_id,
        retired=tuple(retired),
        **_names(place),
    )


def _names(place: OperationContext) -> dict[str, str]:
    return {
        "organization_slug": place.organization_slug,
        "project_slug": place.project_slug,
        "environment": place.environment,
    }
