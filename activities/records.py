"""PostgreSQL decides: activities refuse to act for a workflow whose operation is finished in the database."""

from uuid import UUID

from temporalio import activity

from contracts.names import environment_workflow_id, operation_of
from domain.errors import ConflictError, ErrorCode
from storage.engine import Sessions, transaction
from storage.repositories.standing import StandingRepository


async def refuse_if_over(sessions: Sessions) -> None:
    """To be called by an activity before it changes the world.

    After a restore of Temporal's database a workflow that was over runs again; after one of PostgreSQL's it runs
    without its row. Both would do work that is not wanted any more.

    Raises:
        ConflictError: ORCHESTRATION_LOST, the operation of the calling workflow is finished or not there.
    """
    workflow_id = activity.info().workflow_id if activity.in_activity() else None
    operation_id = operation_of(workflow_id)
    if operation_id is None:
        return
    async with transaction(sessions) as session:
        is_open = workflow_id in await StandingRepository(session).open_workflows([operation_id])
    if not is_open:
        raise ConflictError(
            "the record of this operation is finished or was removed, so its workflow carries nothing out any more",
            code=ErrorCode.ORCHESTRATION_LOST,
        )


def environment_of(workflow_id: str | None) -> UUID | None:
    """Whose entity a workflow is by its id; None: it is no environment's."""
    _, _, name = (workflow_id or "").partition("-")
    try:
        found = UUID(name)
    except ValueError:
        return None
    return found if workflow_id == environment_workflow_id(found) else None
