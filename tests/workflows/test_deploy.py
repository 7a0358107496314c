"""A build that exists: the rollout alone, on the terms of the request."""

import pytest
from temporalio.client import WorkflowFailureError

from contracts.names import ABORT_UPDATE
from contracts.operations import AbortRequest, ActionRequest, BuildSource, DeployInput, OperationError
from domain.approvals import Action, ApprovalPolicy
from domain.canary.verdict import Verdict
from domain.delivery_spec import ReleaseSpec
from domain.lifecycle import (
    DeploymentStatus,
    HealthStatus,
    OperationKind,
    OperationStatus,
    StepName,
    StepStatus,
    Strategy,
)
from tests.support.waiting import until
from tests.workflows.conftest import Bench
from tests.workflows.test_manual_controls import BEN, refused, status
from tests.workflows.world import SPEC, deploy, order, reported

MIGRATING = SPEC.model_copy(update={"release": ReleaseSpec(command="./migrate")})


def in_folder(source: BuildSource) -> BuildSource:
    return source.model_copy(update={"source_path": "apps"})


NOBODY_ELSE = ApprovalPolicy(min_approvals=2, four_eyes=False)


def canary(*, skip_analysis: bool = False, **terms: object) -> DeployInput:
    wanted = deploy(strategy=Strategy.CANARY, canary_percentage=20, skip_analysis=skip_analysis)
    return wanted.model_copy(update=terms)


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


async def test_what_is_to_be_known_of_its_provenance_stays_with_the_step(bench: Bench) -> None:
    bench.world.notice = "build 1 (1.0.0): it was made before provenance was kept here"
    await (await bench.start(deploy())).result()
    assert [step.detail for step in bench.world.progress.steps] == [bench.world.notice]


async def test_a_build_whose_provenance_does_not_hold_starts_nothing(bench: Bench) -> None:
    bench.world.faults["releases.open"] = "PROVENANCE_INVALID"
    with pytest.raises(WorkflowFailureError):
        await (await bench.start(deploy())).result()
    assert bench.world.done == ["load build", "ask turn", "return turn"]
    assert bench.world.progress.error
    assert bench.world.progress.error.code == "PROVENANCE_INVALID"


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
    make = deploy if kind is OperationKind.DEPLOY else order
    wanted = make(strategy=Strategy.CANARY, canary_percentage=20, skip_analysis=True)
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
    assert (await refused(handle, Action.APPROVE, ActionRequest(actor="ann"))).type == "INVALID_STATE"
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


MAKING = ["find artifact", "workspace", "fetch", "build", "scan", "package", "attest", "keep artifact 0", "close"]


def steps(bench: Bench) -> dict[StepName, StepStatus]:
    return {step.name: step.status for step in bench.world.progress.steps}


async def failing(bench: Bench, wanted: DeployInput) -> OperationError:
    with pytest.raises(WorkflowFailureError):
        await (await bench.start(wanted)).result()
    error = bench.world.progress.error
    assert error
    return error


async def test_a_build_of_elsewhere_is_made_first_and_not_tested_again(bench: Bench) -> None:
    wanted = reported()
    result = await (await bench.start(wanted)).result()
    assert bench.world.done[:11] == [*MAKING, "ask turn", "open release"]
    assert "test" not in bench.world.done
    assert bench.world.delivered == ["2"]  # what the build's row says, not what was made here
    assert result.build_id == wanted.build_id
    assert steps(bench) == dict.fromkeys(StepName, StepStatus.COMPLETED) | {StepName.TEST: StepStatus.SKIPPED}
    assert {bench.world.scanned[0].build_id, bench.world.attested[0].build_id} == {wanted.build_id}
    [test] = [step for step in bench.world.progress.steps if step.name is StepName.TEST]
    assert "elsewhere" in (test.detail or "")
    assert bench.world.progress.kind is OperationKind.DEPLOY


async def test_its_artifact_is_made_once(bench: Bench) -> None:
    bench.world.artifact_is_here = True
    await (await bench.start(reported())).result()
    assert bench.world.done[:3] == ["find artifact", "ask turn", "open release"]
    assert bench.world.delivered == ["1"]
    assert {name for name, status in steps(bench).items() if status is StepStatus.COMPLETED} == {StepName.ROLLOUT}


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("source.fetch", "SOURCE_NOT_FOUND"),
        ("source.fetch", "SOURCE_REF_NOT_FOUND"),
        ("build.run", "BUILD_FAILED"),
        ("artifact.package", "ARTIFACT_EMPTY"),
    ],
)
async def test_what_cannot_be_made_is_unavailable_and_says_why(bench: Bench, name: str, code: str) -> None:
    bench.world.faults[name] = code
    error = await failing(bench, reported())
    assert error.code == "ARTIFACT_UNAVAILABLE"
    assert f"{name} failed" in error.message
    assert "file:///repo" in error.message
    assert error.details["cause"] == code
    assert bench.world.done[-1] == "close"
    assert "ask turn" not in bench.world.done
    assert status(bench) is DeploymentStatus.FAILED


async def test_a_commit_is_found_when_its_branch_is_gone(bench: Bench) -> None:
    bench.world.branch_is_gone = True
    await (await bench.start(reported())).result()
    assert bench.world.done[:9] == MAKING


async def test_aborted_while_it_is_made_it_is_cancelled(bench: Bench) -> None:
    bench.world.hold("build.run")
    handle = await bench.start(reported())
    await bench.world.reached["build.run"].wait()
    await handle.execute_update(ABORT_UPDATE, AbortRequest(actor="ben", reason="no"))
    with pytest.raises(WorkflowFailureError):
        await handle.result()
    assert bench.world.done[-1] == "close"
    assert status(bench) is DeploymentStatus.CANCELLED
    assert bench.world.progress.error
    assert bench.world.progress.error.code == "CANCELLED"


async def test_the_release_command_runs_once_before_anything_of_the_version_starts(bench: Bench) -> None:
    bench.world.old_release()
    bench.world.spec = MIGRATING
    await (await bench.start(deploy())).result()
    assert bench.world.done[:5] == [
        "load build",
        "ask turn",
        "open release",
        "release command ./migrate",
        "start new 2",
    ]
    assert bench.world.done.count("release command ./migrate") == 1


async def test_a_release_command_that_fails_ends_it_with_the_old_version_untouched(bench: Bench) -> None:
    bench.world.old_release()
    bench.world.spec = MIGRATING
    bench.world.faults["releases.run_command"] = "RELEASE_COMMAND_FAILED"
    error = await failing(bench, deploy())
    assert error.code == "RELEASE_COMMAND_FAILED"
    assert bench.world.done == ["load build", "ask turn", "open release", "stop new", "return turn"]
    assert status(bench) is DeploymentStatus.FAILED


async def test_aborted_in_its_release_command_it_waits_for_its_end(bench: Bench) -> None:
    bench.world.spec = MIGRATING
    bench.world.hold("releases.run_command")
    handle = await bench.start(deploy())
    await bench.world.reached["releases.run_command"].wait()
    assert bench.world.progress.current_step == "Running the release command"
    await handle.execute_update(ABORT_UPDATE, AbortRequest(actor="ben", reason="no"))
    with pytest.raises(WorkflowFailureError):
        await handle.result()
    assert bench.world.cancelled == ["releases.run_command"]
    assert bench.world.done[-2:] == ["stop new", "return turn"]


async def test_a_version_that_comes_back_as_it_was_runs_no_release_command(bench: Bench) -> None:
    bench.world.old_release()
    bench.world.spec = MIGRATING
    bench.world.still_runs = True
    await (await bench.start(deploy())).result()
    assert not [done for done in bench.world.done if done.startswith("release command")]


async def test_a_project_in_a_folder_is_made_there_and_what_is_not_started_is_shown(bench: Bench) -> None:
    """Two services in one repository; a `worker:` line of a Procfile is never passed over in silence."""
    bench.world.folder, bench.world.notice = "apps/api", "not started from the Procfile: `worker` (line 2)"
    wanted = reported()
    assert wanted.source
    await (await bench.start(wanted.model_copy(update={"source": in_folder(wanted.source)}))).result()
    assert [request.source_path for request in bench.world.fetched] == ["apps"]
    assert bench.world.built_in == ["apps/api", "apps/api"]
    [source] = [step for step in bench.world.progress.steps if step.name is StepName.SOURCE]
    assert (source.status, source.detail) == (StepStatus.COMPLETED, bench.world.notice)
