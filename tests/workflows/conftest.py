"""A worker with every workflow and the in-memory world, on the session's Temporal server."""

from collections.abc import AsyncIterator
from datetime import timedelta
from uuid import uuid4

import pytest
from temporalio.client import Client, WorkflowHandle
from temporalio.testing import WorkflowEnvironment
from temporalio.worker import Worker

from contracts.names import BUILD_QUEUE, WorkflowName
from contracts.operations import BuildAndDeployInput, DeployInput, OperationResult, RollbackInput
from tests.workflows.world import World
from workflows.registry import WORKFLOWS, sandbox

# A cancellation reaches an activity with its next flushed heartbeat.
BEAT = timedelta(milliseconds=50)


NAMES = {
    BuildAndDeployInput: WorkflowName.BUILD_AND_DEPLOY,
    DeployInput: WorkflowName.DEPLOY,
    RollbackInput: WorkflowName.ROLLBACK,
}


class Bench:
    """Starts workflows against the world."""

    def __init__(self, client: Client, queue: str, world: World) -> None:
        self.client = client
        self.queue = queue
        self.world = world

    async def start(self, order: BuildAndDeployInput | DeployInput | RollbackInput) -> WorkflowHandle:
        name = NAMES[type(order)]
        return await self.client.start_workflow(
            name, order, id=str(order.place.operation_id), task_queue=self.queue, result_type=OperationResult
        )


@pytest.fixture
async def bench(temporal_env: WorkflowEnvironment) -> AsyncIterator[Bench]:
    queue = f"test-{uuid4()}"
    world = World(temporal_env.client, queue)
    async with (
        Worker(
            temporal_env.client,
            task_queue=queue,
            workflows=WORKFLOWS,
            activities=world.activities(),
            workflow_runner=sandbox(strict=True),
            max_heartbeat_throttle_interval=BEAT,
            default_heartbeat_throttle_interval=BEAT,
        ),
        Worker(temporal_env.client, task_queue=BUILD_QUEUE, activities=[world.open_workspace, world.rescan_page]),
    ):
        yield Bench(temporal_env.client, queue, world)
