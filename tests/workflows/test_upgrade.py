"""A rollout that waits for a person outlives workers and versions of this code."""

from datetime import timedelta
from uuid import uuid4

import pytest
from temporalio.api.enums.v1 import IndexedValueType
from temporalio.api.operatorservice.v1 import AddSearchAttributesRequest
from temporalio.client import Client, WorkflowHandle, WorkflowUpdateFailedError
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.exceptions import ApplicationError
from temporalio.testing import WorkflowEnvironment
from temporalio.worker import UnsandboxedWorkflowRunner, Worker

from contracts.names import BUILD_QUEUE, DELIVERY_STATUS, WorkflowName
from contracts.operations import BuildAndDeployInput, OperationResult, Order
from domain.approvals import Action, ApprovalPolicy
from domain.lifecycle import DeploymentStatus, OperationKind, OperationStatus
from tests.support.signing import SIGNER
from tests.support.waiting import until
from tests.workflows.conftest import Bench
from tests.workflows.test_manual_controls import BEN
from tests.workflows.world import World, order
from workflows.registry import WORKFLOWS, sandbox

TEN_DAYS = timedelta(days=10)


def workers(env: WorkflowEnvironment, queue: str, world: World) -> tuple[Worker, Worker]:
    return (
        Worker(
            env.client,
            task_queue=queue,
            workflows=WORKFLOWS,
            activities=world.activities(),
            workflow_runner=sandbox(),
            max_cached_workflows=0,  # this server never takes a task back from the queue of a worker that is gone
        ),
        Worker(env.client, task_queue=BUILD_QUEUE, activities=[world.open_workspace]),
    )


async def register(env: WorkflowEnvironment) -> None:
    """This server knows no search attributes of its own."""
    keyword = {DELIVERY_STATUS.name: IndexedValueType.INDEXED_VALUE_TYPE_KEYWORD}
    request = AddSearchAttributesRequest(search_attributes=keyword, namespace=env.client.namespace)
    await env.client.operator_service.add_search_attributes(request)


def _status(world: World) -> DeploymentStatus | None:
    return world.last.deployment.status if world.records and world.last.deployment else None


async def test_ten_days_and_a_new_worker_later_an_approval_goes_on(time_skipping_env) -> None:
    """Scenario 13. Histories that code of before wrote while waiting replay in test_histories (`awaiting_approval`)."""
    async with await time_skipping_env() as env:
        await register(env)
        queue = f"test-{uuid4()}"
        world = World(env.client, queue)
        wanted = order().model_copy(update={"approval": ApprovalPolicy()})
        first, builds = workers(env, queue, world)
        async with first, builds:
            handle: WorkflowHandle = await env.client.start_workflow(
                WorkflowName.BUILD_AND_DEPLOY,
                wanted,
                id=str(wanted.place.operation_id),
                task_queue=queue,
                result_type=OperationResult,
            )
            await until(lambda: _status(world) is DeploymentStatus.AWAITING_APPROVAL)
        began = await env.get_current_time()
        await env.sleep(TEN_DAYS)
        assert await env.get_current_time() - began >= TEN_DAYS
        upgraded, builds = workers(env, queue, world)  # nothing in its memory: it replays the history
        async with upgraded, builds:
            await handle.execute_update(Action.APPROVE, BEN)
            await handle.result()
    assert world.progress.status is OperationStatus.COMPLETED
    assert _status(world) is DeploymentStatus.SUCCESS
    assert world.done.count("package") == 1


async def test_what_runs_during_the_upgrade_goes_on_and_hears_signed_decisions_only(bench: Bench, monkeypatch) -> None:
    """It began under code that knew no signatures: its start is not asked about, its validators are today's."""
    queue, world = f"upgrade-{uuid4()}", bench.world
    wanted = order().model_copy(update={"approval": ApprovalPolicy()})
    stranger = Client(bench.client.service_client, data_converter=pydantic_data_converter)

    async def as_before(_kind: OperationKind, _order: Order) -> bool:
        return False

    with monkeypatch.context() as before:
        before.setattr("workflows.operation.check_start", as_before)
        old = Worker(
            stranger,
            task_queue=queue,
            workflows=WORKFLOWS,
            activities=world.activities(),
            workflow_runner=UnsandboxedWorkflowRunner(),
        )
        async with old:
            handle: WorkflowHandle = await stranger.start_workflow(
                WorkflowName.BUILD_AND_DEPLOY, wanted, id=str(wanted.place.operation_id), task_queue=queue
            )
            await until(lambda: _status(world) is DeploymentStatus.AWAITING_APPROVAL)
    new = Worker(
        bench.client,
        task_queue=queue,
        workflows=WORKFLOWS,
        activities=world.activities(),
        workflow_runner=sandbox(),
    )
    async with new:
        with pytest.raises(WorkflowUpdateFailedError) as fault:
            await handle.execute_update(Action.APPROVE, BEN)
        assert isinstance(fault.value.cause, ApplicationError)
        assert fault.value.cause.type == "AUTHORIZATION_DENIED"
        await bench.client.get_workflow_handle(handle.id).execute_update(Action.APPROVE, BEN)
        await handle.result()
    assert _status(world) is DeploymentStatus.SUCCESS


async def test_a_start_that_an_older_release_signed_goes_the_way_that_it_says(bench: Bench) -> None:
    """Its options stand flat; `tests/contracts/test_operations.py` has such orders, and what was signed of them."""
    bench.world.old_release()
    flat = {"options": None, "strategy": "canary", "canary_percentage": 20, "override_freeze": True}
    kept = BuildAndDeployInput.model_validate({**order().model_dump(mode="json"), **flat})
    signed = SIGNER.order(OperationKind.BUILD_AND_DEPLOY, kept)
    await (await bench.start(signed)).result()
    assert "route new 20, old 80" in bench.world.done
