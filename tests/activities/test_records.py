"""Activities of a workflow whose operation is over in the record change nothing."""

from collections.abc import AsyncIterator
from dataclasses import replace
from uuid import UUID, uuid4

import pytest
from sqlalchemy import update
from temporalio.exceptions import ApplicationError
from temporalio.testing import ActivityEnvironment, WorkflowEnvironment

from activities.environments import EnvironmentActivities
from contracts.names import WorkflowName, bare_workflow_id, environment_workflow_id
from contracts.payload import Nothing
from contracts.rollouts import HolderCheck, PromoteRelease, StopRelease
from runtime.ids import new_id
from storage.engine import Sessions, transaction
from storage.models import Deployment, Environment, Operation
from tests.activities.conftest import release_activities
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
    environment.info = replace(environment.info, workflow_id=bare_workflow_id(operation_id))
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
        await called_by(operation_id).run(release_activities(sessions, None).promote, request)
    assert (refused.value.type, refused.value.non_retryable) == ("ORCHESTRATION_LOST", True)
    assert await current(sessions, environment_id) == before


async def test_a_workflow_with_an_open_record_acts(operation, sessions) -> None:
    environment_id, release_id, operation_id = operation
    request = PromoteRelease(environment_id=environment_id, release_id=release_id)
    await called_by(operation_id).run(release_activities(sessions, None).promote, request)
    assert await current(sessions, environment_id) == release_id


async def test_a_deployment_is_live_from_its_first_promotion_on(operation, sessions) -> None:
    """Brought back by a rollback, or promoted once more after a crash, it is not live anew."""
    environment_id, release_id, operation_id = operation
    request = PromoteRelease(environment_id=environment_id, release_id=release_id)
    seen = []
    for _ in range(2):
        await called_by(operation_id).run(release_activities(sessions, None).promote, request)
        async with transaction(sessions) as session:
            seen.append((await session.get_one(Deployment, release_id)).live_at)
    assert seen[0] is not None
    assert seen == [seen[0]] * 2


async def test_an_environment_that_stops_a_release_without_a_row_is_done_with_it(sessions) -> None:
    """It would try again every twenty seconds, for ever."""
    request = StopRelease(release_id=uuid4(), only_if_retired=True)
    without_a_stopper = release_activities(sessions, None)
    assert await ActivityEnvironment().run(without_a_stopper.stop, request) == Nothing()


@pytest.fixture
async def running(operation, temporal_env: WorkflowEnvironment) -> AsyncIterator[str]:
    """The id of the operation's workflow, which is open in Temporal whatever the record says."""
    workflow_id = bare_workflow_id(operation[2])
    await temporal_env.client.start_workflow(WorkflowName.DEPLOY, deploy(), id=workflow_id, task_queue="nobody")
    yield workflow_id
    await temporal_env.client.get_workflow_handle(workflow_id).terminate()


async def holds(sessions: Sessions, temporal_env: WorkflowEnvironment, environment_id: UUID, workflow_id: str) -> bool:
    """What the entity of an environment is told about who holds its turn."""
    environment = ActivityEnvironment(client=temporal_env.client)
    environment.info = replace(environment.info, workflow_id=environment_workflow_id(environment_id))
    check = HolderCheck(workflow_id=workflow_id)
    return (await environment.run(EnvironmentActivities(sessions).check_holder, check)).running


@pytest.mark.parametrize(("status", "held"), [("in_progress", True), ("completed", False), ("failed", False)])
async def test_a_lock_held_for_an_operation_that_is_over_is_free(
    *, operation, running: str, sessions: Sessions, temporal_env: WorkflowEnvironment, status: str, held: bool
) -> None:
    environment_id, _, operation_id = operation
    async with transaction(sessions) as session:
        await session.execute(update(Operation).where(Operation.id == operation_id).values(status=status))
    assert await holds(sessions, temporal_env, environment_id, running) is held


async def test_nobody_holds_a_lock_for_a_workflow_of_their_own_or_of_another_environment(
    operation, running: str, sessions: Sessions, temporal_env: WorkflowEnvironment
) -> None:
    """Whoever reaches Temporal can ask for a turn in any name: the environment would be blocked for ever."""
    assert not await holds(sessions, temporal_env, uuid4(), running)
    strange = f"acme/shop/dev/1.0.0/{running}"  # ends as the operation's, which has another one
    handle = await temporal_env.client.start_workflow("Strange", id=strange, task_queue="nobody")
    assert not await holds(sessions, temporal_env, operation[0], strange)
    assert not await holds(sessions, temporal_env, operation[0], f"strange-{uuid4()}")
    await handle.terminate()
