"""One rollout at a time in an environment, in the order they came; retired releases are stopped in time."""

from uuid import UUID, uuid4

import pytest
from temporalio.client import WorkflowFailureError

from contracts.names import ABORT_UPDATE, environment_workflow_id
from contracts.operations import AbortRequest
from contracts.rollouts import EnvironmentState
from domain.lifecycle import DeploymentStatus, OperationStatus
from tests.support.waiting import until
from tests.workflows.conftest import Bench
from tests.workflows.world import order, place, rollback


async def state(bench: Bench, environment_id: object) -> EnvironmentState:
    handle = bench.client.get_workflow_handle(environment_workflow_id(environment_id))
    return await handle.query("state", result_type=EnvironmentState)


async def test_the_second_waits_for_the_first(bench: Bench) -> None:
    bench.world.use_entity = True
    environment_id = uuid4()
    let_go = bench.world.hold("traffic.verify")
    first = await bench.start(order(place(environment_id)))
    await bench.world.reached["traffic.verify"].wait()
    second_order = order(place(environment_id))
    second = await bench.start(second_order)
    await until(lambda: bench.world.done.count("ask turn") == 2)
    seen = await state(bench, environment_id)
    assert seen.holder
    assert seen.holder.workflow_id == first.id
    assert [w.workflow_id for w in seen.waiting] == [second.id]
    assert bench.world.done.count("open release") == 1
    await until(lambda: _status(bench, second_order.place.deployment_id) == DeploymentStatus.QUEUED)
    assert "position 1" in (bench.world.progress.current_step or "")
    let_go.set()
    await first.result()
    await second.result()
    assert bench.world.done.count("open release") == 2
    assert bench.world.done.index("return turn") < len(bench.world.done) - 1 - bench.world.done[::-1].index(
        "open release"
    )
    assert (await state(bench, environment_id)).holder is None


def _status(bench: Bench, deployment_id: UUID) -> DeploymentStatus | None:
    told = [r.deployment for r in bench.world.records if r.deployment and r.deployment.deployment_id == deployment_id]
    return told[-1].status if told else None


async def test_a_rollback_goes_before_what_waits(bench: Bench) -> None:
    bench.world.use_entity = True
    bench.world.old_release()
    environment_id = uuid4()
    let_go = bench.world.hold("releases.promote")  # past its final switch: it finishes first
    first = await bench.start(order(place(environment_id)))
    await bench.world.reached["releases.promote"].wait()
    second = await bench.start(order(place(environment_id)))
    await until(lambda: bench.world.done.count("ask turn") == 2)
    third = await bench.start(rollback(place(environment_id)))
    await until(lambda: bench.world.done.count("ask turn") == 3)
    seen = await state(bench, environment_id)
    assert [w.workflow_id for w in seen.waiting] == [third.id, second.id]
    let_go.set()
    for handle in (first, second, third):
        await handle.result()
    assert bench.world.done.index("reopen release") < bench.world.done.index("open release", 20)


async def test_for_a_rollback_a_rollout_under_way_goes_back(bench: Bench) -> None:
    bench.world.use_entity = True
    bench.world.old_release()
    environment_id = uuid4()
    bench.world.hold("traffic.verify")
    canary = order(place(environment_id))
    first = await bench.start(canary)
    await bench.world.reached["traffic.verify"].wait()
    live = place(environment_id)
    await (await bench.start(rollback(live))).result()
    with pytest.raises(WorkflowFailureError):
        await first.result()
    assert _status(bench, canary.place.deployment_id) is DeploymentStatus.SUPERSEDED
    assert _status(bench, live.deployment_id) is DeploymentStatus.ROLLED_BACK
    assert bench.world.done.index("return turn") < bench.world.done.index("reopen release")


async def test_one_that_gives_up_waiting_leaves_the_queue(bench: Bench) -> None:
    bench.world.use_entity = True
    environment_id = uuid4()
    let_go = bench.world.hold("traffic.verify")
    first = await bench.start(order(place(environment_id)))
    await bench.world.reached["traffic.verify"].wait()
    second = await bench.start(order(place(environment_id)))
    await until(lambda: bench.world.done.count("ask turn") == 2)
    await second.execute_update(ABORT_UPDATE, AbortRequest(actor="ann", reason="never mind"))
    await until(lambda: bench.world.progress.status is OperationStatus.CANCELLED)
    await until(lambda: "return turn" in bench.world.done)
    seen = await state(bench, environment_id)
    assert seen.waiting == ()
    assert seen.holder
    assert seen.holder.workflow_id == first.id
    let_go.set()
    await first.result()


async def test_a_retired_release_is_stopped_when_its_time_has_come(bench: Bench) -> None:
    bench.world.use_entity = True
    rollout = bench.world.spec.rollout.model_copy(update={"scale_down_delay": 0.2})
    bench.world.spec = bench.world.spec.model_copy(update={"rollout": rollout})
    bench.world.old_release()
    environment_id = uuid4()
    handle = await bench.start(order(place(environment_id)))
    await handle.result()
    await until(lambda: "stop old" in bench.world.done)
    assert bench.world.done[-2:] == ["return turn", "stop old"]
    assert (await state(bench, environment_id)).retired == ()
