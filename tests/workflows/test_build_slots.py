"""Build slots on a real Temporal server, with a build worker in a process of its own: nobody waits for all of others'.

Builds begin and end when the test says so; nothing here depends on how long something takes.
"""

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from temporalio import activity
from temporalio.api.enums.v1 import PendingActivityState
from temporalio.client import WorkflowFailureError, WorkflowHandle
from temporalio.exceptions import ApplicationError
from temporalio.testing import WorkflowEnvironment
from temporalio.worker import Worker

from contracts.builds import OPEN_WORKSPACE, OpenWorkspace, Workspace
from contracts.names import BUILD_QUEUE, WorkflowName
from contracts.operations import OperationResult
from contracts.stubs import implements
from tests.drivers.shim.helpers import ROOT
from tests.support.waiting import until
from tests.workflows.world import World, order, place
from workflows.registry import WORKFLOWS, sandbox

PATIENCE_S = 180


class Site:
    """Starts operations of organizations, and opens the gates of their builds."""

    def __init__(self, env: WorkflowEnvironment, folder: Path, queue: str) -> None:
        self._env = env
        self._queue = queue
        self.folder = folder
        (folder / "gates").mkdir()

    async def start(self, organization: UUID, *names: str) -> list[WorkflowHandle[object, OperationResult]]:
        return [await self._start(organization, name) for name in names]

    async def _start(self, organization: UUID, name: str) -> WorkflowHandle[object, OperationResult]:
        where = place().model_copy(update={"organization_id": organization})
        wanted = order(where).model_copy(update={"repository_url": f"file:///{name}"})
        return await self._env.client.start_workflow(
            WorkflowName.BUILD_AND_DEPLOY,
            wanted,
            id=str(where.operation_id),
            task_queue=self._queue,
            result_type=OperationResult,
        )

    def begun(self) -> list[str]:
        """Builds in the order in which they began."""
        path = self.folder / "begun"
        return path.read_text().split() if path.exists() else []

    def open(self, *names: str) -> None:
        for name in names:
            (self.folder / "gates" / name).touch()

    async def begins(self, *names: str) -> None:
        await until(lambda: set(names) <= set(self.begun()), PATIENCE_S)

    async def waits(self, handle: WorkflowHandle[object, OperationResult]) -> None:
        """Until a worker has taken its activity, so that it stands in line there."""
        async with asyncio.timeout(PATIENCE_S):
            while not await self._is_taken(handle):  # noqa: ASYNC110 - only asking tells
                await asyncio.sleep(0.05)

    @staticmethod
    async def _is_taken(handle: WorkflowHandle[object, OperationResult]) -> bool:
        pending = (await handle.describe()).raw_description.pending_activities
        return any(each.state == PendingActivityState.PENDING_ACTIVITY_STATE_STARTED for each in pending)


@pytest.fixture
async def site(temporal_env: WorkflowEnvironment, tmp_path: Path) -> AsyncIterator[Site]:
    """The control side: real workflows, their other activities in memory."""
    queue = f"test-{uuid4()}"
    world = World(temporal_env.client, queue)
    async with Worker(
        temporal_env.client,
        task_queue=queue,
        workflows=WORKFLOWS,
        activities=world.activities(),
        workflow_runner=sandbox(),
    ):
        yield Site(temporal_env, tmp_path, queue)


@contextmanager
def build_worker(env: WorkflowEnvironment, folder: Path, slots: int) -> Iterator[subprocess.Popen[bytes]]:
    address = env.client.service_client.config.target_host
    argv = [sys.executable, "-m", "tests.workflows.slot_worker", address, str(folder), str(slots)]
    with subprocess.Popen(argv, cwd=ROOT) as process:
        try:
            yield process
        finally:
            process.kill()


@asynccontextmanager
async def all_done(*handles: WorkflowHandle[object, OperationResult]) -> AsyncIterator[None]:
    """Behind the block every operation comes to its good end: no slot was lost."""
    yield
    async with asyncio.timeout(PATIENCE_S):
        await asyncio.gather(*(handle.result() for handle in handles))


async def test_six_builds_of_one_leave_a_slot_to_anothers(site: Site, temporal_env: WorkflowEnvironment) -> None:
    many, names = uuid4(), [f"many-{n}" for n in range(6)]
    with build_worker(temporal_env, site.folder, slots=2):
        handles = await site.start(many, *names)
        for handle in handles:
            await site.waits(handle)
        await until(lambda: len(site.begun()) == 1, PATIENCE_S)
        handles += await site.start(uuid4(), "single")
        await site.begins("single")
        assert len(site.begun()) == 2  # one of theirs builds still, its gate closed; the others wait
        async with all_done(*handles):
            site.open("single", *names)
    assert len(site.begun()) == 7


@pytest.mark.deep
async def test_with_one_slot_anothers_build_goes_next(site: Site, temporal_env: WorkflowEnvironment) -> None:
    """Fifteen: more than wait in the worker, so that some wait in Temporal."""
    names = [f"many-{n}" for n in range(15)]
    with build_worker(temporal_env, site.folder, slots=1):
        handles = await site.start(uuid4(), *names)
        await until(lambda: len(site.begun()) == 1, PATIENCE_S)
        handles += (others := await site.start(uuid4(), "single"))
        await site.waits(others[0])
        site.open(*site.begun())
        await site.begins("single")
        assert site.begun()[1] == "single"
        async with all_done(*handles):
            site.open("single", *names)
    assert sorted(site.begun()) == sorted([*names, "single"])


@pytest.mark.deep
async def test_a_worker_killed_with_its_slots_loses_none(site: Site, temporal_env: WorkflowEnvironment) -> None:
    names = [f"many-{n}" for n in range(3)]
    handles = []
    with build_worker(temporal_env, site.folder, slots=1):
        handles += await site.start(uuid4(), *names)
        await until(lambda: len(site.begun()) == 1, PATIENCE_S)
        for handle in handles:
            await site.waits(handle)
    with build_worker(temporal_env, site.folder, slots=1):
        handles += await site.start(uuid4(), "single")
        async with all_done(*handles):
            site.open("single", *names)
    assert set(site.begun()) == {*names, "single"}
    assert site.begun().index("single") <= 2  # the one that was killed may have gone on first


async def test_temporal_deals_a_backlog_in_turn(site: Site, temporal_env: WorkflowEnvironment) -> None:
    """What waits in the task queue while all workers are away or full: `matching.enableFairness` is on."""
    order_of: list[UUID] = []

    class Opening:
        @implements(OPEN_WORKSPACE)
        async def open(self, request: OpenWorkspace) -> Workspace:
            assert request.organization_id
            assert activity.info().priority.fairness_key == str(request.organization_id)
            order_of.append(request.organization_id)
            raise ApplicationError("seen", {}, type="BUILD_FAILED", non_retryable=True)

    many, single = uuid4(), uuid4()
    handles = await site.start(many, *[f"many-{n}" for n in range(20)])
    for handle in handles:
        await until_scheduled(handle)
    handles += await site.start(single, "single")
    await until_scheduled(handles[-1])
    closing = World(temporal_env.client, "nobody").close_workspace
    async with (
        asyncio.timeout(PATIENCE_S),
        Worker(
            temporal_env.client,
            task_queue=BUILD_QUEUE,
            activities=[Opening().open, closing],
            max_concurrent_activities=1,
        ),
    ):
        ends = await asyncio.gather(*(handle.result() for handle in handles), return_exceptions=True)
    assert all(isinstance(end, WorkflowFailureError) for end in ends)
    assert order_of.index(single) <= 2


async def until_scheduled(handle: WorkflowHandle[object, OperationResult]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not (await handle.describe()).raw_description.pending_activities:  # noqa: ASYNC110 - only asking tells
            await asyncio.sleep(0.02)
