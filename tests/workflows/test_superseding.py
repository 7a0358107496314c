"""Under `supersede` the newest deployment takes the place of the older ones, wherever those are before their switch."""

from uuid import UUID, uuid4

import pytest
from temporalio.client import WorkflowFailureError, WorkflowHandle

from contracts.names import SignalName, WorkflowName, environment_workflow_id
from contracts.operations import AbortRequest, BuildAndDeployInput, DeploymentProgress, OperationContext
from contracts.rollouts import EnvironmentState, LockRequest, LockSuperseded, WindowAnswer
from domain.approvals import Action, ApprovalPolicy
from domain.canary.verdict import Verdict
from domain.deployment_lock import TurnPolicy
from domain.errors import ErrorCode
from domain.lifecycle import DeploymentStatus, OperationStatus, Strategy
from runtime.ids import new_id
from tests.support.waiting import until
from tests.workflows.conftest import Bench
from tests.workflows.test_environment import state
from tests.workflows.world import order, place, rollback


def newest(environment_id: UUID) -> OperationContext:
    return place(environment_id).model_copy(update={"deployment_id": new_id()})


def view(bench: Bench, wanted: BuildAndDeployInput) -> DeploymentProgress | None:
    wanted_id = wanted.place.deployment_id
    views = [r.deployment for r in bench.world.records if r.deployment and r.deployment.deployment_id == wanted_id]
    return views[-1] if views else None


def ended(bench: Bench, wanted: BuildAndDeployInput, by: UUID) -> None:
    """The operation and the deployment say who replaced them."""
    last = view(bench, wanted)
    assert last is not None
    assert (last.status, last.superseded_by) == (DeploymentStatus.SUPERSEDED, by)
    assert last.error
    assert last.error.code == ErrorCode.SUPERSEDED
    assert str(by) in last.error.message
    operation_id = wanted.place.operation_id
    progress = [r.progress for r in bench.world.records if r.progress.operation_id == operation_id][-1]
    assert progress.status is OperationStatus.CANCELLED


async def failing(handle: WorkflowHandle) -> None:
    with pytest.raises(WorkflowFailureError):
        await handle.result()


async def superseded_now(bench: Bench, handle: WorkflowHandle, wanted: BuildAndDeployInput) -> None:
    by = new_id()
    message = LockSuperseded(workflow_id=handle.id, deployment_id=by, version="2.0.0")
    await handle.signal(SignalName.SUPERSEDE, message)
    await failing(handle)
    ended(bench, wanted, by)
    assert "version 2.0.0" in (view(bench, wanted).error.message)


async def test_a_waiting_one_is_replaced_and_the_holder_goes_back(bench: Bench) -> None:
    bench.world.use_entity = True
    bench.world.policy = TurnPolicy.SUPERSEDE
    bench.world.old_release()
    environment_id = uuid4()
    let_go = bench.world.hold("traffic.verify")
    first_order, second_order, third_order = (order(newest(environment_id)) for _ in range(3))
    first = await bench.start(first_order)
    await bench.world.reached["traffic.verify"].wait()
    bench.world.policy = TurnPolicy.QUEUE
    second = await bench.start(second_order)
    await until(lambda: bench.world.done.count("ask turn") == 2)
    bench.world.policy = TurnPolicy.SUPERSEDE
    third = await bench.start(third_order)
    await failing(second)
    await failing(first)
    let_go.set()
    await third.result()
    by = third_order.place.deployment_id
    ended(bench, first_order, by)
    ended(bench, second_order, by)
    assert bench.world.done.count("open release") == 2
    back = bench.world.done.index("route old 100")
    assert "stop new" in bench.world.done[back:]
    assert (await state(bench, environment_id)).newest.deployment_id == by


async def test_an_older_one_that_comes_late_is_superseded_itself(bench: Bench) -> None:
    bench.world.use_entity = True
    bench.world.policy = TurnPolicy.SUPERSEDE
    environment_id = uuid4()
    older, newer = order(newest(environment_id)), order(newest(environment_id))
    await (await bench.start(newer)).result()
    await failing(await bench.start(older))
    ended(bench, older, newer.place.deployment_id)
    assert bench.world.done.count("open release") == 1


async def test_a_rollback_is_not_superseded(bench: Bench) -> None:
    bench.world.use_entity = True
    bench.world.policy = TurnPolicy.SUPERSEDE
    bench.world.old_release()
    environment_id = uuid4()
    held_back = bench.world.hold("releases.reopen")
    back = await bench.start(rollback(newest(environment_id)))
    await bench.world.reached["releases.reopen"].wait()
    newer = await bench.start(order(newest(environment_id)))
    await until(lambda: bench.world.done.count("ask turn") == 2)
    held_back.set()
    await back.result()
    await newer.result()
    assert bench.world.done.index("reopen release") < bench.world.done.index("open release")


async def test_superseded_while_building(bench: Bench) -> None:
    bench.world.hold("build.run")
    wanted = order()
    handle = await bench.start(wanted)
    await bench.world.reached["build.run"].wait()
    await superseded_now(bench, handle, wanted)


async def test_superseded_while_awaiting_approval(bench: Bench) -> None:
    wanted = order().model_copy(update={"approval": ApprovalPolicy()})
    handle = await bench.start(wanted)
    await until(lambda: _status(bench, wanted) == DeploymentStatus.AWAITING_APPROVAL)
    await superseded_now(bench, handle, wanted)


async def test_superseded_while_held(bench: Bench) -> None:
    bench.world.use_entity = True
    bench.world.window = WindowAnswer(open=False, reason="a freeze")
    wanted = order()
    handle = await bench.start(wanted)
    await until(lambda: _status(bench, wanted) == DeploymentStatus.QUEUED)
    await superseded_now(bench, handle, wanted)
    await until(lambda: "return turn" in bench.world.done)
    assert (await state(bench, wanted.place.environment_id)).waiting == ()


async def test_superseded_while_paused_with_half_of_the_traffic(bench: Bench) -> None:
    bench.world.old_release()
    bench.world.verdicts = [Verdict.INCONCLUSIVE]
    wanted = order(strategy=Strategy.CANARY, canary_percentage=50)
    handle = await bench.start(wanted)
    await until(lambda: _status(bench, wanted) == DeploymentStatus.PAUSED)
    await superseded_now(bench, handle, wanted)
    assert bench.world.done[-3:] == ["route old 100", "stop new", "return turn"]


async def test_past_the_final_switch_it_finishes(bench: Bench) -> None:
    bench.world.old_release()
    bench.world.hold("releases.retire")
    wanted = order()
    handle = await bench.start(wanted)
    await bench.world.reached["releases.retire"].wait()
    await handle.signal(SignalName.SUPERSEDE, LockSuperseded(workflow_id=handle.id, deployment_id=new_id()))
    bench.world.holds["releases.retire"].set()
    await handle.result()
    assert _status(bench, wanted) == DeploymentStatus.SUCCESS


async def test_one_that_is_stopped_already_stays_with_its_reason(bench: Bench) -> None:
    bench.world.use_entity = True
    bench.world.window = WindowAnswer(open=False, reason="a freeze")
    wanted = order()
    handle = await bench.start(wanted)
    await until(lambda: _status(bench, wanted) == DeploymentStatus.QUEUED)
    await handle.execute_update(Action.ABORT, AbortRequest(actor="ann", reason="no"))
    await handle.signal(SignalName.SUPERSEDE, LockSuperseded(workflow_id=handle.id, deployment_id=new_id()))
    await failing(handle)
    assert _status(bench, wanted) == DeploymentStatus.CANCELLED


def _status(bench: Bench, wanted: BuildAndDeployInput) -> DeploymentStatus | None:
    last = view(bench, wanted)
    return last.status if last else None


async def test_what_was_to_be_sent_is_sent_after_continuing_as_new(bench: Bench) -> None:
    """The state is all that a new run knows: who is to be told, who waits, who was the newest."""
    older, waiting = order(newest(uuid4())), order()
    for one in (older, waiting):
        bench.world.turn_is_free = False
        await bench.start(one)
    await until(lambda: bench.world.done.count("ask turn") == 2)
    environment_id = waiting.place.environment_id
    bench.world.use_entity = True
    by = LockSuperseded(workflow_id=str(older.place.operation_id), deployment_id=new_id(), version="2.0.0")
    request = LockRequest(
        environment_id=environment_id,
        workflow_id=str(waiting.place.operation_id),
        deployment_id=waiting.place.deployment_id,
    )
    carried = EnvironmentState(
        environment_id=environment_id, waiting=(request,), superseded=(by,), newest=request, policy=TurnPolicy.SUPERSEDE
    )
    await bench.client.start_workflow(
        WorkflowName.ENVIRONMENT, carried, id=environment_workflow_id(environment_id), task_queue=bench.queue
    )
    await failing(bench.client.get_workflow_handle(str(older.place.operation_id)))
    ended(bench, older, by.deployment_id)
    await bench.client.get_workflow_handle(str(waiting.place.operation_id)).result()
    seen = await state(bench, environment_id)
    assert (seen.superseded, seen.newest, seen.policy) == ((), request, TurnPolicy.SUPERSEDE)


async def test_after_the_clock_was_set_back_a_new_deployment_is_not_taken_for_an_old_one(bench: Bench) -> None:
    """Each was superseded by what was deployed before, until the clock came there again."""
    bench.world.use_entity = True
    bench.world.policy = TurnPolicy.SUPERSEDE
    environment_id = uuid4()
    an_hour_ahead = UUID(int=new_id().int + (3_600_000 << 80))
    before = place(environment_id).model_copy(update={"deployment_id": an_hour_ahead})
    await (await bench.start(order(before))).result()
    after = order(newest(environment_id))
    await (await bench.start(after)).result()
    assert (await state(bench, environment_id)).newest.deployment_id == after.place.deployment_id
