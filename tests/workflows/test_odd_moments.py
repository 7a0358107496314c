"""Stopped at odd moments, and the way back while what the engine stands on is away."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import uuid4

import pytest
from temporalio.client import WorkflowFailureError
from temporalio.worker import Worker

from contracts.names import ABORT_UPDATE, SignalName, WorkflowName
from contracts.operations import AbortRequest
from contracts.rollouts import LockSuperseded
from domain.lifecycle import DeploymentStatus, OperationStatus, Strategy
from tests.workflows.conftest import Bench
from tests.workflows.test_manual_controls import status
from tests.workflows.test_upgrade import register, workers
from tests.workflows.world import World, order, place, rollback
from workflows.registry import WORKFLOWS, sandbox

NO = AbortRequest(actor="ben", reason="no")


async def test_stopped_before_it_began(bench: Bench) -> None:
    """No worker has picked it up yet; when one does, it is asked to stop in the same breath."""
    queue, what = f"late-{uuid4()}", order()
    handle = await bench.client.start_workflow(
        WorkflowName.BUILD_AND_DEPLOY, what, id=str(what.place.operation_id), task_queue=queue
    )
    by = LockSuperseded(workflow_id=handle.id, deployment_id=uuid4(), version="2")
    await handle.signal(SignalName.SUPERSEDE, by)
    late = Worker(
        bench.client,
        task_queue=queue,
        workflows=WORKFLOWS,
        activities=bench.world.activities(),
        workflow_runner=sandbox(),
    )
    async with late:
        with pytest.raises(WorkflowFailureError):
            await handle.result()
    assert bench.world.progress.status is OperationStatus.CANCELLED
    assert bench.world.progress.started_at
    assert bench.world.done == []


async def test_stopped_while_the_release_is_opened(bench: Bench) -> None:
    bench.world.old_release()
    may = bench.world.hold("releases.open")
    handle = await bench.start(order())
    await bench.world.reached["releases.open"].wait()
    await handle.execute_update(ABORT_UPDATE, NO)
    may.set()
    with pytest.raises(WorkflowFailureError):
        await handle.result()
    assert bench.world.done[-3:] == ["open release", "stop new", "return turn"]
    assert status(bench) is DeploymentStatus.CANCELLED


async def test_a_rollback_stopped_while_the_release_before_is_found(bench: Bench) -> None:
    bench.world.old_release()
    may = bench.world.hold("releases.reopen")
    handle = await bench.start(rollback(place()))
    await bench.world.reached["releases.reopen"].wait()
    await handle.execute_update(ABORT_UPDATE, NO)
    may.set()
    with pytest.raises(WorkflowFailureError):
        await handle.result()
    assert bench.world.done[-3:] == ["reopen release", "stop old", "return turn"]
    assert status(bench) is DeploymentStatus.SUCCESS


async def test_a_fault_of_our_own_is_no_reason_to_keep_a_bad_version(bench: Bench) -> None:
    bench.world.old_release()
    bench.world.faults["traffic.verify"] = "TRAFFIC_UNVERIFIED"
    bench.world.refused_routes["old 100"] = "INTERNAL_ERROR"
    with pytest.raises(WorkflowFailureError):
        await (await bench.start(order())).result()
    assert not {"promote new", "retire old"} & set(bench.world.done)
    assert status(bench) is DeploymentStatus.FAILED


async def test_the_new_version_that_keeps_the_traffic_gets_all_of_its_instances(bench: Bench) -> None:
    bench.world.old_release()
    bench.world.hold("instances.shrink")
    handle = await bench.start(order(strategy=Strategy.ROLLING))
    await bench.world.reached["instances.shrink"].wait()
    bench.world.refused_routes["old 100"] = "STABLE_UNHEALTHY"
    await handle.execute_update(ABORT_UPDATE, NO)
    with pytest.raises(WorkflowFailureError):
        await handle.result()
    kept = ["route new 100", "start new 2", "healthy new 2", "promote new", "retire old", "return turn"]
    assert bench.world.done[-6:] == kept


# More attempts than there are in a quarter of an hour.
LONG = 150


@asynccontextmanager
async def skipping(time_skipping_env) -> AsyncIterator[Bench]:
    """A bench whose waits take no time, with a release that serves."""
    async with await time_skipping_env() as env:
        await register(env)
        queue = f"test-{uuid4()}"
        world = World(env.client, queue)
        world.old_release()
        first, builds = workers(env, queue, world)
        async with first, builds:
            yield Bench(env.client, queue, world)


async def test_a_rollback_outlives_an_outage(time_skipping_env) -> None:
    """Its records and routes may have changed already, so that it must not give up."""
    async with skipping(time_skipping_env) as bench:
        bench.world.still_runs = True
        bench.world.away["take back"] = LONG
        await (await bench.start(rollback(place()))).result()
    assert bench.world.done == ["take back", "stop new", "return turn"]
    assert status(bench) is DeploymentStatus.ROLLED_BACK


async def test_an_outage_is_no_reason_to_keep_a_bad_version(time_skipping_env) -> None:
    """The router is away for longer than one activity tries to reach it; the bad version must not get everything."""
    async with skipping(time_skipping_env) as bench:
        world = bench.world
        world.faults["traffic.verify"] = "TRAFFIC_UNVERIFIED"
        world.away["old 100"] = LONG
        with pytest.raises(WorkflowFailureError):
            await (await bench.start(order())).result()
    assert world.away["old 100"] == 0
    assert world.done[-3:] == ["route old 100", "stop new", "return turn"]
