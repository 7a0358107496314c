"""The progress deadline counts the time in which somebody could make progress."""

import asyncio
from uuid import uuid4

from temporalio.testing import WorkflowEnvironment
from temporalio.worker import Worker

from contracts.names import BUILD_QUEUE
from domain.delivery_spec import RolloutSpec
from tests.workflows.conftest import BEAT, Bench
from tests.workflows.world import SPEC, World, order
from workflows.activity_calls import OFF_S
from workflows.registry import WORKFLOWS, sandbox


def worker(env: WorkflowEnvironment, queue: str, world: World) -> Worker:
    return Worker(
        env.client,
        task_queue=queue,
        workflows=WORKFLOWS,
        activities=world.activities(),
        workflow_runner=sandbox(),
        max_heartbeat_throttle_interval=BEAT,
        default_heartbeat_throttle_interval=BEAT,
    )


async def test_time_in_which_everything_was_off_is_no_progress_that_was_not_made(
    temporal_env: WorkflowEnvironment,
) -> None:
    queue = f"test-{uuid4()}"
    world = World(temporal_env.client, queue)
    world.old_release()
    world.spec = SPEC.model_copy(update={"rollout": RolloutSpec(progress_deadline=10, verify_seconds=0)})
    may = world.hold("instances.await_healthy")
    async with Worker(temporal_env.client, task_queue=BUILD_QUEUE, activities=[world.open_workspace]):
        async with worker(temporal_env, queue, world):
            handle = await Bench(temporal_env.client, queue, world).start(order())
            await asyncio.wait_for(world.reached["instances.await_healthy"].wait(), 120)
        await asyncio.sleep(OFF_S + 12)  # the night
        may.set()
        async with worker(temporal_env, queue, world):
            await asyncio.wait_for(handle.result(), 120)
    assert "promote new" in world.done
