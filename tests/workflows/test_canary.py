"""Canaries: what each verdict leads to, and what people can do while one is judged."""

import pytest
from temporalio.client import WorkflowFailureError

from contracts.names import ABORT_UPDATE
from contracts.operations import AbortRequest, ActionRequest
from domain.approvals import Action
from domain.canary.policy import AnalysisPolicy
from domain.canary.verdict import Verdict
from domain.delivery_spec import CanarySpec, CanaryStep, RolloutSpec
from domain.lifecycle import DeploymentStatus, Strategy
from tests.support.waiting import until
from tests.workflows.conftest import Bench
from tests.workflows.test_manual_controls import BEN, status
from tests.workflows.world import order


def canary(percentage: int = 20):
    return order(strategy=Strategy.CANARY, canary_percentage=percentage)


def rollout_of(bench: Bench) -> list[str]:
    return bench.world.done[bench.world.done.index("open release") + 1 :]


async def test_a_good_canary_gets_everything(bench: Bench) -> None:
    bench.world.old_release()
    await (await bench.start(canary())).result()
    assert rollout_of(bench) == [
        "start new 2",
        "healthy new 2",
        "route new 20, old 80",
        "judge step-2-1",
        "route new 100",
        "verify",
        "promote new",
        "retire old",
        "return turn",
    ]


@pytest.mark.parametrize("early", [None, 12.5])
async def test_a_pass_before_its_time_is_shown_with_the_next_step_and_no_other(
    bench: Bench, early: float | None
) -> None:
    bench.world.old_release()
    bench.world.early_after = early
    await (await bench.start(canary())).result()
    told = [record.progress.current_step or "" for record in bench.world.records]
    assert any("Comparing the new version with the stable one for 300 s" in step for step in told)
    words = "; the analysis passed early, after 12.5 of 300 s"
    assert [step for step in told if words in step] == (
        [f"Sending 100 % of the traffic to the new version{words}"] if early else []
    )


async def test_what_the_analysis_does_not_cover_is_shown_while_it_runs(bench: Bench) -> None:
    bench.world.old_release()
    queries = {name: f'sum({name}{{release="{{{{release}}}}"}})' for name in ("requests", "errors")}
    by_queries = {"provider": "prometheus", "prometheus": queries, "compare": ["errors"]}
    policy = AnalysisPolicy.model_validate(by_queries)
    bench.world.spec = bench.world.spec.model_copy(update={"analysis": policy})
    await (await bench.start(canary())).result()
    told = [record.progress.current_step or "" for record in bench.world.records]
    assert any(step.endswith("the stable one for 300 s (4xx are not judged)") for step in told)


async def test_a_bad_canary_goes_back_with_the_reasons(bench: Bench) -> None:
    bench.world.old_release()
    bench.world.verdicts = [Verdict.FAIL]
    with pytest.raises(WorkflowFailureError):
        await (await bench.start(canary())).result()
    assert rollout_of(bench)[-4:] == ["judge step-2-1", "route old 100", "stop new", "return turn"]
    error = bench.world.progress.error
    assert error
    assert (error.code, error.message) == ("ANALYSIS_FAILED", "analysis fail: it is fail")
    assert error.details["reasons"] == ["it is fail"]
    assert status(bench) is DeploymentStatus.ROLLED_BACK


async def test_steps_of_the_spec_are_followed_one_after_another(bench: Bench) -> None:
    bench.world.old_release()
    steps = (CanaryStep(weight=5, pause=0.05), CanaryStep(weight=50, analyse=5))
    rollout = RolloutSpec(canary=CanarySpec(steps=steps), verify_seconds=0)
    bench.world.spec = bench.world.spec.model_copy(update={"rollout": rollout})
    await (await bench.start(canary())).result()
    routes = [done for done in bench.world.done if done.startswith(("route", "judge"))]
    assert routes == ["route new 5, old 95", "route new 50, old 50", "judge step-4-1", "route new 100"]


async def test_inconclusive_asks_a_person_who_looks_again(bench: Bench) -> None:
    bench.world.old_release()
    bench.world.verdicts = [Verdict.INCONCLUSIVE]
    handle = await bench.start(canary())
    await until(lambda: status(bench) is DeploymentStatus.PAUSED)
    assert "analysis inconclusive: it is inconclusive" in (bench.world.progress.current_step or "")
    await handle.execute_update(Action.RESUME, BEN)
    await handle.result()
    assert [done for done in bench.world.done if done.startswith("judge")] == ["judge step-2-1", "judge step-2-2"]


async def test_promoted_during_an_inconclusive_pause_needs_no_new_analysis(bench: Bench) -> None:
    bench.world.old_release()
    bench.world.verdicts = [Verdict.INCONCLUSIVE]
    handle = await bench.start(canary())
    await until(lambda: status(bench) is DeploymentStatus.PAUSED)
    await handle.execute_update(Action.PROMOTE, ActionRequest(actor="cid"))
    await handle.result()
    assert [done for done in bench.world.done if done.startswith("judge")] == ["judge step-2-1"]
    assert status(bench) is DeploymentStatus.SUCCESS


async def test_promoted_while_it_is_judged_ends_the_analysis(bench: Bench) -> None:
    bench.world.old_release()
    bench.world.hold("analysis.judge")
    handle = await bench.start(canary())
    await bench.world.reached["analysis.judge"].wait()
    await handle.execute_update(Action.PROMOTE, BEN)
    await handle.result()
    assert status(bench) is DeploymentStatus.SUCCESS


async def test_aborted_while_it_is_judged_goes_back(bench: Bench) -> None:
    bench.world.old_release()
    bench.world.hold("analysis.judge")
    handle = await bench.start(canary(50))
    await bench.world.reached["analysis.judge"].wait()
    await handle.execute_update(ABORT_UPDATE, AbortRequest(actor="ben", reason="no"))
    with pytest.raises(WorkflowFailureError):
        await handle.result()
    assert rollout_of(bench)[-3:] == ["route old 100", "stop new", "return turn"]
    assert status(bench) is DeploymentStatus.ROLLED_BACK


async def test_a_first_canary_has_nothing_to_be_compared_with(bench: Bench) -> None:
    await (await bench.start(canary())).result()
    assert not [done for done in bench.world.done if done.startswith("judge")]
    assert "route new 100" in bench.world.done


async def test_a_ramp_is_judged_at_every_step(bench: Bench) -> None:
    bench.world.old_release()
    rollout = bench.world.spec.rollout.model_copy(
        update={"ramp": bench.world.spec.rollout.ramp.model_copy(update={"step_percent": 40})}
    )
    bench.world.spec = bench.world.spec.model_copy(update={"rollout": rollout})
    await (await bench.start(order(strategy=Strategy.RAMP))).result()
    weights = [done for done in bench.world.done if done.startswith("route")]
    assert weights == ["route new 40, old 60", "route new 80, old 20", "route new 100"]
    assert len([done for done in bench.world.done if done.startswith("judge")]) == 2


async def test_a_dark_launch_waits_for_a_person_and_then_gets_everything(bench: Bench) -> None:
    bench.world.old_release()
    handle = await bench.start(canary(0))
    await until(lambda: status(bench) is DeploymentStatus.PAUSED)
    assert rollout_of(bench)[-1] == "route old 100, preview new"
    await handle.execute_update(Action.RESUME, BEN)
    await handle.result()
    assert "route new 100" in bench.world.done
    assert status(bench) is DeploymentStatus.SUCCESS


async def test_an_aborted_dark_launch_closes_the_preview(bench: Bench) -> None:
    bench.world.old_release()
    handle = await bench.start(canary(0))
    await until(lambda: status(bench) is DeploymentStatus.PAUSED)
    await handle.execute_update(ABORT_UPDATE, AbortRequest(actor="ben", reason="no"))
    with pytest.raises(WorkflowFailureError):
        await handle.result()
    assert rollout_of(bench)[-3:] == ["route old 100", "stop new", "return turn"]
    assert status(bench) is DeploymentStatus.CANCELLED


async def test_an_abort_does_not_wait_for_the_analysis_to_notice(bench: Bench) -> None:
    bench.world.old_release()
    bench.world.hold("analysis.judge")
    bench.world.deaf.add("analysis.judge")
    handle = await bench.start(canary(50))
    await bench.world.reached["analysis.judge"].wait()
    await handle.execute_update(ABORT_UPDATE, AbortRequest(actor="ben", reason="no"))
    with pytest.raises(WorkflowFailureError):
        await handle.result()
    bench.world.holds["analysis.judge"].set()
    assert rollout_of(bench)[-3:] == ["route old 100", "stop new", "return turn"]
