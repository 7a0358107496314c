"""A build that exists: the rollout alone, on the terms of the request."""

import pytest
from temporalio.client import WorkflowFailureError

from contracts.names import ABORT_UPDATE
from contracts.operations import AbortRequest, DeployInput, PersonRequest
from domain.canary.verdict import Verdict
from domain.lifecycle import DeploymentStatus, HealthStatus, OperationKind, OperationStatus, StepName, Strategy
from domain.people import Action, ApprovalPolicy
from tests.support.waiting import until
from tests.workflows.conftest import Bench
from tests.workflows.test_people import BEN, refused, status
from tests.workflows.world import deploy, order

NOBODY_ELSE = ApprovalPolicy(min_approvals=2, four_eyes=False)


def canary(**terms: object) -> DeployInput:
    return deploy(strategy=Strategy.CANARY).model_copy(update={"canary_percentage": 20, **terms})


async def test_it_is_loaded_and_rolled_out(bench: Bench) -> None:
    bench.world.old_release()
    wanted = deploy()
    result = await (await bench.start(wanted)).result()
    done = bench.world.done
    assert done[:5] == ["load build", "ask turn", "open release", "start new 2", "healthy new 2"]
    assert "route new 100" in done
    assert done[-3:] == ["promote new", "retire old", "return turn"]
    assert result.build_id == wanted.build_id
    progress = bench.world.progress
    assert (progress.kind, progress.status) == (OperationKind.DEPLOY, OperationStatus.COMPLETED)
    assert [step.name for step in progress.steps] == [StepName.ROLLOUT]
    assert progress.progress_percent == 100
    deployment = bench.world.last.deployment
    assert deployment
    assert (deployment.status, deployment.health) == (DeploymentStatus.SUCCESS, HealthStatus.HEALTHY)


async def test_without_an_artifact_nothing_is_touched(bench: Bench) -> None:
    bench.world.faults["builds.load"] = "ARTIFACT_UNAVAILABLE"
    with pytest.raises(WorkflowFailureError):
        await (await bench.start(deploy())).result()
    assert bench.world.done == []
    assert bench.world.progress.error
    assert bench.world.progress.error.code == "ARTIFACT_UNAVAILABLE"
    assert status(bench) is DeploymentStatus.FAILED


async def test_a_canary_is_judged_and_a_bad_one_goes_back(bench: Bench) -> None:
    bench.world.old_release()
    bench.world.verdicts = [Verdict.FAIL]
    with pytest.raises(WorkflowFailureError):
        await (await bench.start(canary())).result()
    assert "route new 20, old 80" in bench.world.done
    assert bench.world.done[-3:] == ["route old 100", "stop new", "return turn"]
    assert status(bench) is DeploymentStatus.ROLLED_BACK


@pytest.mark.parametrize("kind", [OperationKind.DEPLOY, OperationKind.BUILD_AND_DEPLOY])
async def test_skipping_the_analysis_is_being_promoted_from_the_start(bench: Bench, kind: OperationKind) -> None:
    bench.world.old_release()
    bench.world.verdicts = [Verdict.FAIL]
    terms = {"canary_percentage": 20, "skip_analysis": True}
    wanted = (
        canary(**terms) if kind is OperationKind.DEPLOY else order(strategy=Strategy.CANARY).model_copy(update=terms)
    )
    await (await bench.start(wanted)).result()
    assert [done for done in bench.world.done if done.startswith(("route", "judge"))] == ["route new 100"]
    assert status(bench) is DeploymentStatus.SUCCESS


async def test_it_waits_for_approval_before_it_takes_the_turn(bench: Bench) -> None:
    handle = await bench.start(canary(approval=ApprovalPolicy()))
    await until(lambda: status(bench) is DeploymentStatus.AWAITING_APPROVAL)
    assert bench.world.done == ["load build"]
    await handle.execute_update(Action.APPROVE, BEN)
    await handle.result()
    assert status(bench) is DeploymentStatus.SUCCESS


async def test_who_said_yes_with_the_request_counts_once(bench: Bench) -> None:
    handle = await bench.start(canary(approval=NOBODY_ELSE, approved_by=("ann",)))
    await until(lambda: "1 of 2" in (bench.world.progress.current_step or "") if bench.world.records else False)
    assert (await refused(handle, Action.APPROVE, PersonRequest(actor="ann"))).type == "INVALID_STATE"
    await handle.execute_update(Action.APPROVE, BEN)
    await handle.result()
    assert status(bench) is DeploymentStatus.SUCCESS


async def test_aborted_under_traffic_it_goes_back(bench: Bench) -> None:
    bench.world.old_release()
    bench.world.hold("traffic.verify")
    handle = await bench.start(deploy())
    await bench.world.reached["traffic.verify"].wait()
    await handle.execute_update(ABORT_UPDATE, AbortRequest(actor="ben", reason="no"))
    with pytest.raises(WorkflowFailureError):
        await handle.result()
    assert bench.world.done[-3:] == ["route old 100", "stop new", "return turn"]
    assert status(bench) is DeploymentStatus.ROLLED_BACK
