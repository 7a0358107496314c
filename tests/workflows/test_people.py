"""Approve, reject, pause, resume, promote, abort: what each does, and what is refused when."""

import pytest
from temporalio.client import WorkflowFailureError, WorkflowHandle, WorkflowUpdateFailedError
from temporalio.exceptions import ApplicationError

from contracts.names import ABORT_UPDATE
from contracts.operations import AbortRequest, PersonRequest
from domain.lifecycle import DeploymentStatus, OperationStatus, Strategy
from domain.people import Action, ApprovalPolicy
from tests.support.waiting import until
from tests.workflows.conftest import Bench
from tests.workflows.world import order

BEN = PersonRequest(actor="ben", reason="looks good")
CID = PersonRequest(actor="cid")


async def refused(handle: WorkflowHandle, action: Action, person: PersonRequest = BEN) -> ApplicationError:
    with pytest.raises(WorkflowUpdateFailedError) as fault:
        await handle.execute_update(action, person)
    assert isinstance(fault.value.cause, ApplicationError)
    return fault.value.cause


def status(bench: Bench) -> DeploymentStatus | None:
    return bench.world.last.deployment.status if bench.world.records and bench.world.last.deployment else None


async def awaiting_approval(bench: Bench, policy: ApprovalPolicy) -> WorkflowHandle:
    handle = await bench.start(order().model_copy(update={"approval": policy}))
    await until(lambda: status(bench) is DeploymentStatus.AWAITING_APPROVAL)
    return handle


async def test_two_different_people_must_say_yes(bench: Bench) -> None:
    handle = await awaiting_approval(bench, ApprovalPolicy(min_approvals=2))
    assert (await refused(handle, Action.APPROVE, PersonRequest(actor="ann"))).type == "AUTHORIZATION_DENIED"
    await handle.execute_update(Action.APPROVE, BEN)
    assert (await refused(handle, Action.APPROVE, BEN)).type == "INVALID_STATE"
    await until(lambda: "1 of 2" in (bench.world.progress.current_step or ""))
    assert "ask turn" not in bench.world.done
    await handle.execute_update(Action.APPROVE, CID)
    await handle.result()
    assert bench.world.progress.status is OperationStatus.COMPLETED


async def test_rejected_is_cancelled_before_anything_is_touched(bench: Bench) -> None:
    handle = await awaiting_approval(bench, ApprovalPolicy())
    await handle.execute_update(Action.REJECT, AbortRequest(actor="ben", reason="not on a Friday"))
    with pytest.raises(WorkflowFailureError):
        await handle.result()
    assert status(bench) is DeploymentStatus.CANCELLED
    assert bench.world.progress.error
    assert "ben: rejected: not on a Friday" in bench.world.progress.error.message
    assert "ask turn" not in bench.world.done


async def test_paused_between_two_steps_until_resumed(bench: Bench) -> None:
    bench.world.old_release()
    let_go = bench.world.hold("instances.await_healthy")
    handle = await bench.start(order(strategy=Strategy.ROLLING))
    await bench.world.reached["instances.await_healthy"].wait()
    assert "abort, pause, promote" in (await refused(handle, Action.RESUME)).message
    await handle.execute_update(Action.PAUSE, BEN)
    let_go.set()
    await until(lambda: status(bench) is DeploymentStatus.PAUSED)
    assert bench.world.progress.current_step == "Paused by ben: looks good"
    assert not [done for done in bench.world.done if done.startswith("route")]
    assert "abort, promote, resume" in (await refused(handle, Action.PAUSE)).message
    await handle.execute_update(Action.RESUME, BEN)
    await handle.result()
    assert status(bench) is DeploymentStatus.SUCCESS
    rollout = next(step for step in bench.world.progress.steps if step.name == "rollout")
    assert rollout.waited_seconds > 0


async def test_promoted_while_paused_goes_to_the_end(bench: Bench) -> None:
    bench.world.old_release()
    let_go = bench.world.hold("instances.await_healthy")
    handle = await bench.start(order(strategy=Strategy.ROLLING))
    await bench.world.reached["instances.await_healthy"].wait()
    await handle.execute_update(Action.PAUSE, BEN)
    let_go.set()
    await until(lambda: status(bench) is DeploymentStatus.PAUSED)
    await handle.execute_update(Action.PROMOTE, CID)
    await handle.result()
    routes = [done for done in bench.world.done if done.startswith("route")]
    assert routes == ["route new 100"]


async def test_promoted_from_the_start_a_blue_green_is_checked_on_a_preview_that_is_open(bench: Bench) -> None:
    bench.world.old_release()
    handle = await bench.start(order(strategy=Strategy.BLUE_GREEN).model_copy(update={"skip_analysis": True}))
    await handle.result()
    told = [done for done in bench.world.done if done.startswith(("route", "check"))]
    assert len(told) == 3
    assert told[0].startswith("route")
    assert told[1].startswith("check preview")
    assert told[2] == "route new 100"


async def test_paused_during_the_last_step_holds_the_final_switch(bench: Bench) -> None:
    bench.world.old_release()
    let_go = bench.world.hold("traffic.verify")
    handle = await bench.start(order())
    await bench.world.reached["traffic.verify"].wait()
    await handle.execute_update(Action.PAUSE, BEN)
    let_go.set()
    await until(lambda: status(bench) is DeploymentStatus.PAUSED)
    assert "promote new" not in bench.world.done
    await handle.execute_update(Action.RESUME, BEN)
    await handle.result()
    assert status(bench) is DeploymentStatus.SUCCESS
    assert "promote new" in bench.world.done


async def test_aborted_while_paused_goes_back(bench: Bench) -> None:
    bench.world.old_release()
    let_go = bench.world.hold("traffic.verify")
    handle = await bench.start(order())
    await bench.world.reached["traffic.verify"].wait()
    await handle.execute_update(Action.PAUSE, BEN)
    let_go.set()
    await handle.execute_update(ABORT_UPDATE, AbortRequest(actor="ben", reason="no"))
    assert "stopped already" in (await refused(handle, Action.RESUME)).message
    with pytest.raises(WorkflowFailureError):
        await handle.result()
    assert status(bench) is DeploymentStatus.ROLLED_BACK
