"""Approve, reject, pause, resume, promote, abort: what each does, and what is refused when."""

import pytest
from temporalio.client import WorkflowFailureError, WorkflowHandle, WorkflowUpdateFailedError
from temporalio.exceptions import ApplicationError

from contracts.names import ABORT_UPDATE
from contracts.operations import AbortRequest, ActionRequest, BuildAndDeployInput
from domain.approvals import Action, ApprovalPolicy, Person
from domain.canary.verdict import Verdict
from domain.lifecycle import DeploymentStatus, OperationStatus, Strategy
from tests.support.waiting import until
from tests.workflows.conftest import Bench
from tests.workflows.world import order

BEN = ActionRequest(actor="ben", reason="looks good")
CID = ActionRequest(actor="cid")


async def refused(handle: WorkflowHandle, action: Action, person: ActionRequest = BEN) -> ApplicationError:
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
    assert (await refused(handle, Action.APPROVE, ActionRequest(actor="ann"))).type == "AUTHORIZATION_DENIED"
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
    assert status(bench) is DeploymentStatus.PAUSED
    assert "first ends what is under way: Starting" in (bench.world.progress.current_step or "")
    let_go.set()
    await until(lambda: bench.world.progress.current_step == "Paused by ben: looks good")
    assert not [done for done in bench.world.done if done.startswith("route")]
    assert "abort, promote, resume" in (await refused(handle, Action.PAUSE)).message
    await handle.execute_update(Action.RESUME, BEN)
    await handle.result()
    assert status(bench) is DeploymentStatus.SUCCESS
    rollout = next(step for step in bench.world.progress.steps if step.name == "rollout")
    assert rollout.waited_seconds > 0
    assert rollout.people_seconds
    assert rollout.people_seconds <= rollout.waited_seconds  # the lock took its time, too


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
    handle = await bench.start(order(strategy=Strategy.BLUE_GREEN, skip_analysis=True))
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
    await until(lambda: bench.world.progress.current_step == "Paused by ben: looks good")
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


def canary() -> BuildAndDeployInput:
    return order(strategy=Strategy.CANARY, canary_percentage=20)


async def in_the_analysis(bench: Bench) -> WorkflowHandle:
    """A canary that is being judged, and whose judge does not come to an end by itself."""
    bench.world.old_release()
    bench.world.hold("analysis.judge")
    handle = await bench.start(canary())
    await bench.world.reached["analysis.judge"].wait()
    return handle


async def test_pause_in_the_middle_of_an_analysis_answers_paused_and_the_judge_stops(bench: Bench) -> None:
    """It answered `in_progress`, and the analysis went on to its verdict."""
    bench.world.verdicts = [Verdict.FAIL]
    handle = await in_the_analysis(bench)
    await handle.execute_update(Action.PAUSE, BEN)
    assert status(bench) is DeploymentStatus.PAUSED
    assert bench.world.progress.current_step == "Paused by ben: looks good"
    await until(lambda: bench.world.cancelled.count("analysis.judge") == 1)
    assert not [done for done in bench.world.done if done.startswith("judge")]
    bench.world.verdicts = [Verdict.PASS]
    bench.world.holds["analysis.judge"].set()
    await handle.execute_update(Action.RESUME, BEN)
    await handle.result()
    assert status(bench) is DeploymentStatus.SUCCESS
    first, second = bench.world.analyses
    assert first.key == second.key
    assert first.held_seconds == 0
    assert second.held_seconds > 0  # so that the judge leaves it out


async def test_resume_promote_and_abort_out_of_a_paused_analysis_answer_the_state_after_them(bench: Bench) -> None:
    handle = await in_the_analysis(bench)
    await handle.execute_update(Action.PAUSE, BEN)
    await handle.execute_update(Action.RESUME, CID)
    assert status(bench) is DeploymentStatus.IN_PROGRESS
    assert (await refused(handle, Action.RESUME)).message.startswith("cannot resume while it is in_progress: ")
    await handle.execute_update(Action.PAUSE, BEN)
    assert status(bench) is DeploymentStatus.PAUSED
    await handle.execute_update(ABORT_UPDATE, AbortRequest(actor="ben", reason="no"))
    assert status(bench) in (DeploymentStatus.ROLLING_BACK, DeploymentStatus.ROLLED_BACK)
    assert (await refused(handle, Action.PROMOTE)).message.startswith("cannot promote while it is rolling_back: ")
    with pytest.raises(WorkflowFailureError):
        await handle.result()
    assert status(bench) is DeploymentStatus.ROLLED_BACK


async def test_promoted_out_of_a_paused_analysis_is_not_judged_again(bench: Bench) -> None:
    handle = await in_the_analysis(bench)
    await handle.execute_update(Action.PAUSE, BEN)
    await handle.execute_update(Action.PROMOTE, CID)
    assert status(bench) is DeploymentStatus.IN_PROGRESS
    await handle.result()
    assert len(bench.world.analyses) == 1


async def test_promoted_while_it_starts(bench: Bench) -> None:
    bench.world.old_release()
    let_go = bench.world.hold("instances.await_healthy")
    handle = await bench.start(canary())
    await bench.world.reached["instances.await_healthy"].wait()
    await handle.execute_update(Action.PROMOTE, CID)
    assert status(bench) is DeploymentStatus.IN_PROGRESS
    assert bench.world.progress.current_step == "Promoted by cid"
    let_go.set()
    await handle.result()
    assert bench.world.analyses == []


async def test_a_watch_that_is_paused_begins_anew(bench: Bench) -> None:
    bench.world.old_release()
    bench.world.hold("traffic.verify")
    handle = await bench.start(order())
    await bench.world.reached["traffic.verify"].wait()
    await handle.execute_update(Action.PAUSE, BEN)
    await until(lambda: bench.world.cancelled == ["traffic.verify"])
    bench.world.holds["traffic.verify"].set()
    await handle.execute_update(Action.RESUME, BEN)
    await handle.result()
    assert status(bench) is DeploymentStatus.SUCCESS


async def test_the_last_approval_answers_that_it_waits_for_its_turn(bench: Bench) -> None:
    bench.world.turn_is_free = False
    handle = await awaiting_approval(bench, ApprovalPolicy())
    await handle.execute_update(Action.APPROVE, BEN)
    assert status(bench) is DeploymentStatus.QUEUED
    assert (await refused(handle, Action.APPROVE, CID)).message.startswith("cannot approve while it is queued: ")
    await handle.execute_update(ABORT_UPDATE, AbortRequest(actor="ben", reason="no"))


async def test_two_service_accounts_of_one_admin_do_not_satisfy_four_eyes(bench: Bench) -> None:
    policy = ApprovalPolicy(min_approvals=2)
    requester = Person(actor="ci", humans=("ann",))
    handle = await bench.start(order().model_copy(update={"approval": policy, "requester": requester}))
    await until(lambda: status(bench) is DeploymentStatus.AWAITING_APPROVAL)
    fault = await refused(handle, Action.APPROVE, ActionRequest(actor="bot", humans=("ann",)))
    assert fault.type == "AUTHORIZATION_DENIED"
    assert (await refused(handle, Action.APPROVE, ActionRequest(actor="ann"))).type == "AUTHORIZATION_DENIED"
    puppet = ActionRequest(actor="ann-2", humans=("ann-2",), vouched_by=("ann",))
    assert (await refused(handle, Action.APPROVE, puppet)).type == "AUTHORIZATION_DENIED"
    await handle.execute_update(Action.APPROVE, ActionRequest(actor="bot-1", humans=("ben",)))
    assert (
        await refused(handle, Action.APPROVE, ActionRequest(actor="bot-2", humans=("ben",)))
    ).type == "INVALID_STATE"
    assert (await refused(handle, Action.APPROVE, BEN)).type == "INVALID_STATE"
    await handle.execute_update(Action.APPROVE, CID)
    await handle.result()


async def test_a_rule_that_became_stricter_while_it_waited_decides(bench: Bench) -> None:
    handle = await awaiting_approval(bench, ApprovalPolicy())
    rule = ApprovalPolicy(min_approvals=2)
    await handle.execute_update(Action.APPROVE, BEN.model_copy(update={"rule": rule}))
    assert bench.world.progress.current_step == "Waiting for approval: 1 of 2 so far"
    looser = ApprovalPolicy(min_approvals=1, four_eyes=False)
    fault = await refused(handle, Action.APPROVE, ActionRequest(actor="ann", rule=looser))
    assert fault.type == "AUTHORIZATION_DENIED"
    await handle.execute_update(Action.APPROVE, CID)
    await handle.result()


async def test_who_is_not_known_is_nobodys_second_and_passing_a_freeze_is_shown_to_who_approves(
    bench: Bench,
) -> None:
    """Of two different people one at most is the one who asked."""
    asked = {"approval": ApprovalPolicy(), "requester": Person(actor="corp:1", unknown=True)}
    handle = await bench.start(order(override_freeze=True).model_copy(update=asked))
    await until(lambda: status(bench) is DeploymentStatus.AWAITING_APPROVAL)
    fault = await refused(handle, Action.APPROVE, ActionRequest(actor="corp:2", unknown=True))
    assert fault.type == "AUTHORIZATION_DENIED"
    assert "email_claim" in fault.message
    await handle.execute_update(Action.APPROVE, BEN)
    told = "Waiting for approval: 1 of 2 so far; it is to go past freezes"
    assert bench.world.progress.current_step == told
    await handle.execute_update(Action.APPROVE, CID)
    await handle.result()


async def test_whom_somebody_invited_by_a_link_is_no_other_approver_than_they_are(bench: Bench) -> None:
    """The yes that came with the order had lost who made the account."""
    puppet = Person(actor="ben-2", humans=("ben-2",), vouched_by=("ben",))
    asked = {
        "approval": ApprovalPolicy(min_approvals=2, four_eyes=False),
        "requester": puppet,
        "approved_by": ("ben-2",),
        "approvers": (puppet,),
    }
    handle = await bench.start(order().model_copy(update=asked))
    await until(lambda: status(bench) is DeploymentStatus.AWAITING_APPROVAL)
    assert (await refused(handle, Action.APPROVE, BEN)).type == "INVALID_STATE"
    await handle.execute_update(Action.APPROVE, CID)
    await handle.result()
