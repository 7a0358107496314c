"""Activities of a workflow whose operation is over in the record change nothing."""

from dataclasses import replace
from uuid import UUID, uuid4

import pytest
from sqlalchemy import update
from temporalio.exceptions import ApplicationError
from temporalio.testing import ActivityEnvironment, WorkflowEnvironment

from activities.environments import EnvironmentActivities
from activities.releases import ReleaseActivities
from contracts.names import WorkflowName, operation_workflow_id
from contracts.rollouts import HolderCheck, PromoteRelease, StopRelease
from runtime.ids import new_id
from storage.engine import Sessions, transaction
from storage.models import Deployment, Environment, Operation
from tests.workflows.world import deploy


@pytest.fixture
async def operation(history, sessions: Sessions) -> tuple[UUID, UUID, UUID]:
    """An environment, its release before the present one, and the operation that brought that."""
    found = await history(2)
    async with transaction(sessions) as session:
        deployment = await session.get_one(Deployment, found.releases[0])
        return found.environment_id, found.releases[0], deployment.operation_id


def called_by(operation_id: UUID) -> ActivityEnvironment:
    environment = ActivityEnvironment()
    environment.info = replace(environment.info, workflow_id=operation_workflow_id(operation_id))
    return environment


async def current(sessions: Sessions, environment_id: UUID) -> UUID | None:
    async with transaction(sessions) as session:
        return (await session.get_one(Environment, environment_id)).current_release_id


@pytest.mark.parametrize("status", ["completed", "failed", "cancelled", None])
async def test_a_workflow_that_runs_again_after_a_restore_moves_nothing(operation, sessions, status) -> None:
    environment_id, release_id, operation_id = operation
    before = await current(sessions, environment_id)
    if status is None:
        operation_id = new_id()  # its row is not there
    async with transaction(sessions) as session:
        await session.execute(update(Operation).where(Operation.id == operation_id).values(status=status))
    request = PromoteRelease(environment_id=environment_id, release_id=release_id)
    with pytest.raises(ApplicationError) as refused:
        await called_by(operation_id).run(ReleaseActivities(sessions, None).promote, request)
    assert (refused.value.type, refused.value.non_retryable) == ("ORCHESTRATION_LOST", True)
    assert await current(sessions, environment_id) == before


async def test_a_workflow_with_an_open_record_acts(operation, sessions) -> None:
    environment_id, release_id, operation_id = operation
    request = PromoteRelease(environment_id=environment_id, release_id=release_id)
    await called_by(operation_id).run(ReleaseActivities(sessions, None).promote, request)
    assert await current(sessions, environment_id) == release_id


async def test_an_environment_that_stops_a_release_without_a_row_is_done_with_it(sessions) -> None:
    """It would try again every twenty seconds, for ever."""
    request = StopRelease(release_id=uuid4(), only_if_retired=True)
    await ActivityEnvironment().run(ReleaseActivities(sessions, None).stop, request)


@pytest.mark.parametrize(("status", "holds"), [("in_progress", True), ("completed", False), ("failed", False)])
async def test_who_holds_the_turn_for_an_operation_that_is_over_holds_it_for_nobody(
    *, operation, sessions: Sessions, temporal_env: WorkflowEnvironment, status: str, holds: bool
) -> None:
    *_, operation_id = operation
    workflow_id = operation_workflow_id(operation_id)
    await temporal_env.client.start_workflow(WorkflowName.DEPLOY, deploy(), id=workflow_id, task_queue="nobody")
    async with transaction(sessions) as session:
        await session.execute(update(Operation).where(Operation.id == operation_id).values(status=status))
    activities = EnvironmentActivities(sessions)
    environment = ActivityEnvironment(client=temporal_env.client)
    state = await environment.run(activities.check_holder, HolderCheck(workflow_id=workflow_id))
    assert state.running is holds
    await temporal_env.client.get_workflow_handle(workflow_id).terminate()
