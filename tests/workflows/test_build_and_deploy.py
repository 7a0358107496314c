"""The main job's order of things, and what is left behind when it fails or is stopped."""

from itertools import pairwise

import pytest
from temporalio.client import WorkflowFailureError, WorkflowUpdateFailedError

from contracts.names import ABORT_UPDATE, PROGRESS_QUERY, STANDING_QUERY
from contracts.operations import AbortRequest, ActionRequest, Progress, Standing
from contracts.rollouts import TrafficReport
from domain.approvals import Action
from domain.delivery_spec import BlueGreenSpec
from domain.lifecycle import DeploymentStatus, HealthStatus, OperationStatus, StepName, StepStatus, Strategy
from tests.support.waiting import until
from tests.workflows.conftest import Bench
from tests.workflows.test_manual_controls import status
from tests.workflows.world import order, place, rollback

STOP = AbortRequest(actor="ann", reason="wrong version")


async def fails(bench: Bench, strategy: Strategy = Strategy.BLUE_GREEN) -> Progress:
    handle = await bench.start(order(strategy=strategy))
    with pytest.raises(WorkflowFailureError):
        await handle.result()
    return bench.world.progress


async def test_first_deployment_goes_all_the_way(bench: Bench) -> None:
    handle = await bench.start(order())
    result = await handle.result()
    assert bench.world.done == [
        "workspace",
        "fetch",
        "build",
        "test",
        "scan",
        "package",
        "attest",
        "record build",
        "close",
        "ask turn",
        "open release",
        "start new 2",
        "healthy new 2",
        "route preview new",
        "check preview",
        "route new 100",
        "verify",
        "promote new",
        "return turn",
    ]
    progress = bench.world.progress
    assert progress.status is OperationStatus.COMPLETED
    assert progress.progress_percent == 100
    assert {s.name: s.status for s in progress.steps} == dict.fromkeys(StepName, StepStatus.COMPLETED)
    [attested] = bench.world.attested
    assert attested.scan == bench.world.scan_outcome
    assert attested.source.commit == "c" * 40
    deployment = bench.world.last.deployment
    assert deployment
    assert deployment.status is DeploymentStatus.SUCCESS
    assert deployment.health is HealthStatus.HEALTHY
    assert deployment.build_id == result.build_id


async def test_progress_never_falls_and_versions_grow(bench: Bench) -> None:
    bench.world.old_release()
    handle = await bench.start(order(strategy=Strategy.ROLLING))
    await handle.result()
    told = [r.progress for r in bench.world.records]
    assert [p.progress_percent for p in told] == sorted(p.progress_percent for p in told)
    assert all(a.version < b.version for a, b in pairwise(told))
    assert all(p.progress_percent < 100 for p in told[:-1])


async def test_rolling_replaces_batch_by_batch(bench: Bench) -> None:
    bench.world.old_release()
    handle = await bench.start(order(strategy=Strategy.ROLLING))
    await handle.result()
    rollout = bench.world.done[bench.world.done.index("open release") + 1 :]
    assert rollout == [
        "start new 1",
        "healthy new 1",
        "route new 50, old 50",
        "shrink old 1",
        "start new 2",
        "healthy new 2",
        "route new 100",
        "verify",
        "promote new",
        "retire old",
        "return turn",
    ]


async def test_a_failing_build_starts_nothing_and_leaves_a_failed_build(bench: Bench) -> None:
    bench.world.faults["build.run"] = "BUILD_FAILED"
    progress = await fails(bench)
    assert bench.world.done == ["workspace", "fetch", "record failed build", "close"]
    assert progress.status is OperationStatus.FAILED
    assert progress.error
    assert progress.error.code == "BUILD_FAILED"
    failed = next(s for s in progress.steps if s.name is StepName.BUILD)
    assert failed.status is StepStatus.FAILED
    assert bench.world.last.deployment
    assert bench.world.last.deployment.status is DeploymentStatus.FAILED


async def test_the_commit_is_shown_as_soon_as_it_is_known(bench: Bench) -> None:
    bench.world.faults["build.run"] = "BUILD_FAILED"
    await fails(bench)
    told = [r.deployment.git_commit_hash for r in bench.world.records if r.deployment]
    assert (told[0], told[-1]) == (None, "c" * 40)


async def test_unhealthy_first_version_is_removed(bench: Bench) -> None:
    bench.world.faults["instances.await_healthy"] = "INSTANCE_UNHEALTHY"
    progress = await fails(bench)
    assert bench.world.done[-3:] == ["start new 2", "stop new", "return turn"]
    assert progress.error
    assert progress.error.code == "INSTANCE_UNHEALTHY"
    assert bench.world.last.deployment
    assert bench.world.last.deployment.status is DeploymentStatus.FAILED


async def test_bad_version_under_traffic_goes_back_before_it_is_stopped(bench: Bench) -> None:
    stable = bench.world.old_release()
    bench.world.faults["traffic.verify"] = "TRAFFIC_UNVERIFIED"
    progress = await fails(bench)
    assert bench.world.done[-4:] == ["route new 100", "route old 100", "stop new", "return turn"]
    assert progress.status is OperationStatus.FAILED
    deployment = bench.world.last.deployment
    assert deployment
    assert deployment.status is DeploymentStatus.ROLLED_BACK
    assert deployment.rolled_back_to_build_id == stable.build_id


async def test_an_automatic_rollback_tells_why_and_what_was_measured(bench: Bench) -> None:
    bench.world.old_release()
    bench.world.faults["traffic.verify"] = "TRAFFIC_UNVERIFIED"
    bench.world.measured = TrafficReport(
        probes=0, requests=40, error_rate_percent=12.5, p95_response_time_ms=50, throughput_rps=4
    )
    progress = await fails(bench)
    deployment = bench.world.last.deployment
    assert progress.error
    assert deployment
    assert deployment.rollback_reason == progress.error.message
    assert deployment.error_rate_percent == 12.5
    figures = {"error_rate_percent": 12.5, "p95_response_time_ms": 50, "throughput_rps": 4}
    assert deployment.performance_metrics == figures


async def test_where_no_user_met_it_our_own_requests_tell_the_error_rate(bench: Bench) -> None:
    bench.world.old_release()
    bench.world.faults["traffic.verify"] = "TRAFFIC_UNVERIFIED"
    bench.world.fault_details["traffic.verify"] = {"probes": 4, "failed_probes": 3}
    await fails(bench)
    deployment = bench.world.last.deployment
    assert deployment
    assert deployment.error_rate_percent == 75.0
    assert deployment.performance_metrics == {"error_rate_percent": 75.0}


async def test_rolling_back_a_shrunk_stable_side_restores_its_capacity_first(bench: Bench) -> None:
    bench.world.old_release()
    bench.world.faults["traffic.verify"] = "TRAFFIC_UNVERIFIED"
    await fails(bench, Strategy.ROLLING)
    assert bench.world.done[-6:] == [
        "route new 100",
        "start old 2",
        "healthy old 2",
        "route old 100",
        "stop new",
        "return turn",
    ]


async def test_cancelled_while_building_leaves_no_trace(bench: Bench) -> None:
    bench.world.hold("build.run")
    handle = await bench.start(order())
    await bench.world.reached["build.run"].wait()
    await handle.execute_update(ABORT_UPDATE, STOP)
    with pytest.raises(WorkflowFailureError):
        await handle.result()
    assert bench.world.done[-1] == "close"
    assert "open release" not in bench.world.done
    progress = bench.world.progress
    assert progress.status is OperationStatus.CANCELLED
    assert progress.error
    assert progress.error.message == "stopped during build by ann: wrong version"
    assert bench.world.last.deployment
    assert bench.world.last.deployment.status is DeploymentStatus.CANCELLED


async def test_cancelled_through_temporal_does_the_same(bench: Bench) -> None:
    bench.world.hold("build.run")
    handle = await bench.start(order())
    await bench.world.reached["build.run"].wait()
    await handle.cancel()
    with pytest.raises(WorkflowFailureError):
        await handle.result()
    assert bench.world.done[-1] == "close"
    assert bench.world.progress.status is OperationStatus.CANCELLED


async def test_aborted_under_traffic_rolls_back(bench: Bench) -> None:
    bench.world.old_release()
    bench.world.hold("traffic.verify")
    handle = await bench.start(order())
    await bench.world.reached["traffic.verify"].wait()
    await handle.execute_update(ABORT_UPDATE, STOP)
    with pytest.raises(WorkflowUpdateFailedError):
        await handle.execute_update(ABORT_UPDATE, STOP)
    with pytest.raises(WorkflowFailureError):
        await handle.result()
    assert bench.world.done[-3:] == ["route old 100", "stop new", "return turn"]
    deployment = bench.world.last.deployment
    assert deployment
    assert deployment.status is DeploymentStatus.ROLLED_BACK
    assert deployment.rollback_reason == "wrong version"
    assert bench.world.progress.status is OperationStatus.CANCELLED
    assert bench.world.progress.error
    assert bench.world.progress.error.code == "ROLLED_BACK"


async def test_past_the_final_switch_it_cannot_be_aborted(bench: Bench) -> None:
    bench.world.old_release()
    let_go = bench.world.hold("releases.promote")
    handle = await bench.start(order())
    await bench.world.reached["releases.promote"].wait()
    with pytest.raises(WorkflowUpdateFailedError) as refused:
        await handle.execute_update(ABORT_UPDATE, STOP)
    assert "past its final switch" in str(refused.value.cause)
    let_go.set()
    await handle.result()
    assert bench.world.progress.status is OperationStatus.COMPLETED


async def test_cancelled_while_waiting_for_the_lock_gives_it_back(bench: Bench) -> None:
    bench.world.turn_is_free = False
    handle = await bench.start(order())
    await until(lambda: "ask turn" in bench.world.done)
    await handle.execute_update(ABORT_UPDATE, STOP)
    with pytest.raises(WorkflowFailureError):
        await handle.result()
    assert bench.world.done[-2:] == ["ask turn", "return turn"]


async def test_no_progress_fails_and_rolls_back(bench: Bench) -> None:
    spec = bench.world.spec
    quick = spec.rollout.model_copy(update={"progress_deadline": 1})
    bench.world.spec = spec.model_copy(update={"rollout": quick})
    bench.world.old_release()
    bench.world.hold("instances.await_healthy")
    progress = await fails(bench)
    assert progress.error
    assert progress.error.code == "PROGRESS_DEADLINE_EXCEEDED"
    assert bench.world.done[-2:] == ["stop new", "return turn"]


async def test_progress_is_answered_by_a_query(bench: Bench) -> None:
    let_go = bench.world.hold("build.run")
    handle = await bench.start(order())
    await bench.world.reached["build.run"].wait()
    seen = await handle.query(PROGRESS_QUERY, result_type=Progress)
    assert seen.current_step == "Building"
    assert seen.status is OperationStatus.IN_PROGRESS
    let_go.set()
    await handle.result()


async def test_it_tells_how_far_it_is_and_what_it_knows_to_be_recorded(bench: Bench) -> None:
    let_go = bench.world.hold("build.run")
    handle = await bench.start(order())
    await bench.world.reached["build.run"].wait()
    seen = await handle.query(STANDING_QUERY, result_type=Standing)
    last = bench.world.records[-1].progress.version
    assert (seen.recorded, seen.known) == (last, last)
    let_go.set()
    await handle.result()


async def test_rollback_brings_the_release_before_back(bench: Bench) -> None:
    stable = bench.world.old_release()
    handle = await bench.start(rollback(place()))
    await handle.result()
    assert bench.world.done == [
        "ask turn",
        "reopen release",
        "start old 2",
        "healthy old 2",
        "route old 100",
        "promote old",
        "retire new",
        "return turn",
    ]
    deployment = bench.world.last.deployment
    assert deployment
    assert deployment.status is DeploymentStatus.ROLLED_BACK
    assert deployment.rollback_reason == "errors"
    assert deployment.rolled_back_to_build_id == stable.build_id


async def test_a_rollback_that_fails_leaves_the_deployment_serving(bench: Bench) -> None:
    bench.world.old_release()
    bench.world.faults["instances.await_healthy"] = "INSTANCE_UNHEALTHY"
    handle = await bench.start(rollback(place()))
    with pytest.raises(WorkflowFailureError):
        await handle.result()
    assert bench.world.done[-2:] == ["stop old", "return turn"]
    deployment = bench.world.last.deployment
    assert deployment
    assert deployment.status is DeploymentStatus.SUCCESS


async def test_a_rollback_to_what_still_runs_is_one_step_and_needs_no_turn(bench: Bench) -> None:
    stable = bench.world.old_release()
    bench.world.still_runs = True
    await (await bench.start(rollback(place()))).result()
    assert bench.world.done == ["take back", "stop new", "return turn"]
    deployment = bench.world.last.deployment
    assert deployment
    assert deployment.status is DeploymentStatus.ROLLED_BACK
    assert deployment.rolled_back_to_build_id == stable.build_id


async def test_a_rollback_is_shown_before_the_bad_version_is_stopped(bench: Bench) -> None:
    bench.world.old_release()
    bench.world.still_runs = True
    let_go = bench.world.hold("releases.stop")
    handle = await bench.start(rollback(place()))
    await bench.world.reached["releases.stop"].wait()
    deployment = bench.world.last.deployment
    assert deployment
    assert deployment.status is DeploymentStatus.ROLLED_BACK
    let_go.set()
    await handle.result()


async def test_a_failed_check_on_the_preview_moves_no_traffic(bench: Bench) -> None:
    bench.world.old_release()
    bench.world.faults["traffic.check_preview"] = "PREVIEW_FAILED"
    progress = await fails(bench)
    routes = [done for done in bench.world.done if done.startswith("route")]
    assert routes == ["route old 100, preview new", "route old 100"]
    assert bench.world.done[-2:] == ["stop new", "return turn"]
    assert progress.error
    assert progress.error.code == "PREVIEW_FAILED"
    assert bench.world.last.deployment
    assert bench.world.last.deployment.status is DeploymentStatus.FAILED


async def test_blue_green_holds_before_the_switch_where_asked(bench: Bench) -> None:
    bench.world.old_release()
    around = BlueGreenSpec(manual=True, checks=("/ready",))
    rollout = bench.world.spec.rollout.model_copy(update={"blue_green": around})
    bench.world.spec = bench.world.spec.model_copy(update={"rollout": rollout})
    handle = await bench.start(order())
    await until(lambda: status(bench) is DeploymentStatus.PAUSED)
    assert bench.world.done[-2:] == ["route old 100, preview new", "check preview /ready"]
    await handle.execute_update(Action.RESUME, ActionRequest(actor="ben"))
    await handle.result()
    assert "route new 100" in bench.world.done


async def test_what_is_still_kept_returns_with_one_switch(bench: Bench) -> None:
    bench.world.old_release()
    bench.world.still_runs = True
    await (await bench.start(order(strategy=Strategy.CANARY, canary_percentage=5))).result()
    rollout = bench.world.done[bench.world.done.index("open release") + 1 :]
    assert rollout == ["start new 2", "healthy new 2", "route new 100", "promote new", "retire old", "return turn"]


async def test_an_unhealthy_stable_side_leaves_the_traffic_on_the_new_one(bench: Bench) -> None:
    bench.world.old_release()
    bench.world.faults["traffic.verify"] = "TRAFFIC_UNVERIFIED"
    bench.world.refused_routes["old 100"] = "STABLE_UNHEALTHY"
    progress = await fails(bench)
    assert bench.world.done[-4:] == ["route new 100", "promote new", "retire old", "return turn"]
    assert progress.error
    assert progress.error.code == "TRAFFIC_UNVERIFIED"
    deployment = bench.world.last.deployment
    assert deployment
    assert (deployment.status, deployment.health) == (DeploymentStatus.FAILED, HealthStatus.DEGRADED)
