"""Process types beside the service: when those of the new version begin, and those of the old one end."""

import pytest
from temporalio.client import WorkflowFailureError

from contracts.names import ABORT_UPDATE
from contracts.operations import AbortRequest, OperationError
from domain.delivery_spec import EnvironmentOverrides, ProcessOverrides, ProcessSpec
from domain.lifecycle import DeploymentStatus, EnvironmentName, Strategy
from tests.workflows.conftest import Bench
from tests.workflows.test_canary import canary, rollout_of
from tests.workflows.test_manual_controls import status
from tests.workflows.world import SPEC, deploy, order, place, rollback

TYPES = {"worker": ProcessSpec(command="work", count=2), "clock": ProcessSpec(command="tick")}
WORKING = SPEC.model_copy(update={"processes": TYPES})


async def failing(bench: Bench, wanted: object) -> OperationError:
    with pytest.raises(WorkflowFailureError):
        await (await bench.start(wanted)).result()
    error = bench.world.progress.error
    assert error
    return error


async def test_they_begin_before_the_last_switch_and_the_old_ones_end_after_it(bench: Bench) -> None:
    bench.world.spec = WORKING
    bench.world.old_release(processes=TYPES)
    await (await bench.start(canary())).result()
    assert rollout_of(bench) == [
        "start new 2",
        "healthy new 2",
        "route new 20, old 80",
        "judge step-2-1",
        "processes new judged",
        "route new 100",
        "verify",
        "promote new",
        "retire old",
        "end processes old",
        "return turn",
    ]
    told = [record.progress.current_step for record in bench.world.records]
    assert "Starting worker (2), clock (1) beside the service" in told


@pytest.mark.parametrize("strategy", [Strategy.ROLLING, Strategy.BLUE_GREEN, Strategy.CANARY])
async def test_a_crash_loop_ends_the_rollout_and_the_old_ones_went_on(bench: Bench, strategy: Strategy) -> None:
    bench.world.spec = WORKING
    bench.world.old_release(processes=TYPES)
    bench.world.faults["processes.start"] = "INSTANCE_EXITED"
    wanted = canary() if strategy is Strategy.CANARY else order(strategy=strategy)
    assert (await failing(bench, wanted)).code == "INSTANCE_EXITED"
    assert bench.world.done[-2:] == ["stop new", "return turn"]
    assert "route new 100" not in bench.world.done
    assert "end processes old" not in bench.world.done
    if strategy is not Strategy.BLUE_GREEN:
        assert bench.world.done[-3] == "route old 100"


async def test_an_old_version_without_a_type_and_a_new_one_with_it_and_the_other_way_round(bench: Bench) -> None:
    bench.world.old_release(processes=TYPES)
    await (await bench.start(deploy())).result()
    assert [done for done in bench.world.done if "processes" in done] == ["end processes old"]


async def test_a_count_of_0_in_an_environment_leaves_them_out_there(bench: Bench) -> None:
    none = {name: ProcessOverrides(count=0) for name in TYPES}
    bench.world.spec = WORKING.model_copy(
        update={"environments": {EnvironmentName.DEV: EnvironmentOverrides(processes=none)}}
    )
    bench.world.old_release()
    await (await bench.start(deploy())).result()
    assert [done for done in bench.world.done if "processes" in done] == []


async def test_aborted_while_they_are_judged_it_waits_for_their_end(bench: Bench) -> None:
    bench.world.spec = WORKING
    bench.world.old_release()
    bench.world.hold("processes.start")
    handle = await bench.start(deploy())
    await bench.world.reached["processes.start"].wait()
    await handle.execute_update(ABORT_UPDATE, AbortRequest(actor="ben", reason="no"))
    with pytest.raises(WorkflowFailureError):
        await handle.result()
    assert bench.world.cancelled == ["processes.start"]
    assert bench.world.done[-2:] == ["stop new", "return turn"]


async def test_what_comes_back_has_the_traffic_first_and_is_not_judged(bench: Bench) -> None:
    bench.world.old_release(processes=TYPES)
    await (await bench.start(rollback(place()))).result()
    done = bench.world.done
    assert done.index("route old 100") < done.index("processes old") < done.index("return turn")


async def test_taken_back_at_once_its_workers_follow(bench: Bench) -> None:
    bench.world.old_release(processes=TYPES)
    bench.world.still_runs = True
    await (await bench.start(rollback(place()))).result()
    assert bench.world.done == ["take back", "processes old", "stop new", "return turn"]


async def test_workers_that_cannot_be_started_do_not_undo_a_way_back(bench: Bench) -> None:
    bench.world.old_release(processes=TYPES)
    bench.world.still_runs = True
    bench.world.faults["processes.start"] = "NO_FREE_PORT"
    await (await bench.start(rollback(place()))).result()
    assert bench.world.done == ["take back", "stop new", "return turn"]
    assert status(bench) is DeploymentStatus.ROLLED_BACK


async def test_the_new_version_that_keeps_the_traffic_gets_its_workers(bench: Bench) -> None:
    """The stable side broke meanwhile: what serves is the new one, with all that belongs to it."""
    bench.world.spec = WORKING
    bench.world.old_release(processes=TYPES)
    bench.world.faults["traffic.verify"] = "TRAFFIC_UNVERIFIED"
    bench.world.refused_routes["old 100"] = "STABLE_UNHEALTHY"
    await failing(bench, order(strategy=Strategy.BLUE_GREEN))
    after = bench.world.done[bench.world.done.index("promote new") :]
    assert after == ["promote new", "processes new", "retire old", "end processes old", "return turn"]
