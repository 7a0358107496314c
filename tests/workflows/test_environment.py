"""One rollout at a time in an environment, in the order they came; retired releases are stopped in time."""

from uuid import uuid4

from contracts.names import ABORT_UPDATE, environment_workflow_id
from contracts.operations import AbortRequest
from contracts.rollouts import EnvironmentState
from domain.lifecycle import OperationStatus
from tests.support.waiting import until
from tests.workflows.conftest import Bench
from tests.workflows.world import order, place


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
    let_go.set()
    await first.result()
    await second.result()
    assert bench.world.done.count("open release") == 2
    assert bench.world.done.index("return turn") < len(bench.world.done) - 1 - bench.world.done[::-1].index(
        "open release"
    )
    assert (await state(bench, environment_id)).holder is None


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
