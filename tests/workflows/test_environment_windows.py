"""A closed window holds whoever is next, and nobody else; it is asked about only when something changed."""

from datetime import timedelta
from uuid import UUID, uuid4

from temporalio.client import WorkflowHandle

from contracts.names import SignalName, environment_workflow_id
from contracts.operations import DeploymentProgress
from contracts.rollouts import SettingsChanged, WindowAnswer
from domain.lifecycle import DeploymentStatus, StepName
from runtime.ids import now
from tests.support.waiting import until
from tests.workflows.conftest import Bench
from tests.workflows.test_environment import state
from tests.workflows.world import order, place, rollback

WEEKEND = "the freeze window 'weekend'"


def freeze(bench: Bench, hours: float = 48) -> WindowAnswer:
    bench.world.use_entity = True
    bench.world.window = WindowAnswer(open=False, reason=WEEKEND, next_open=now() + timedelta(hours=hours))
    return bench.world.window


def open_again(bench: Bench) -> None:
    bench.world.window = WindowAnswer(open=True)


def progress_of(bench: Bench, deployment_id: UUID) -> DeploymentProgress:
    views = [r.deployment for r in bench.world.records if r.deployment and r.deployment.deployment_id == deployment_id]
    return views[-1]


async def held(bench: Bench, environment_id: UUID, **changes: object) -> tuple[WorkflowHandle, UUID]:
    wanted = order(place(environment_id))
    handle = await bench.start(wanted)
    deployment_id = wanted.place.deployment_id
    await until(lambda: "ask window" in bench.world.done)
    await until(
        lambda: bench.world.last.deployment is not None and progress_of(bench, deployment_id).next_open is not None
    )
    return handle, deployment_id


def entity(bench: Bench, environment_id: UUID) -> WorkflowHandle:
    return bench.client.get_workflow_handle(environment_workflow_id(environment_id))


async def test_a_freeze_holds_and_says_until_when(bench: Bench) -> None:
    closed = freeze(bench)
    environment_id = uuid4()
    handle, deployment_id = await held(bench, environment_id)
    view = progress_of(bench, deployment_id)
    assert (view.status, view.next_open) == (DeploymentStatus.QUEUED, closed.next_open)
    words = bench.world.progress.current_step or ""
    assert words == f"Held by {WEEKEND}; opens {closed.next_open:%Y-%m-%d %H:%M} UTC"
    [rollout] = [step for step in bench.world.progress.steps if step.name is StepName.ROLLOUT]
    assert rollout.waiting_since == rollout.started_at
    seen = await state(bench, environment_id)
    assert seen.holder is None
    assert [w.workflow_id for w in seen.waiting] == [handle.id]
    assert seen.window == closed
    open_again(bench)
    change = SettingsChanged(environment_id=environment_id)
    await entity(bench, environment_id).signal(SignalName.SETTINGS_CHANGED, change)
    await handle.result()
    assert bench.world.done.count("ask window") == 2
    last = progress_of(bench, deployment_id)
    assert (last.status, last.next_open) == (DeploymentStatus.SUCCESS, None)


async def test_it_goes_on_by_itself_when_the_window_opens(bench: Bench) -> None:
    freeze(bench, hours=1.5 / 3600)
    handle, _ = await held(bench, uuid4())
    open_again(bench)
    await handle.result()


async def test_one_under_way_finishes_and_the_next_is_held(bench: Bench) -> None:
    bench.world.use_entity = True
    environment_id = uuid4()
    let_go = bench.world.hold("traffic.verify")
    first = await bench.start(order(place(environment_id)))
    await bench.world.reached["traffic.verify"].wait()
    freeze(bench)
    wanted = order(place(environment_id))
    await bench.start(wanted)
    await until(lambda: bench.world.done.count("ask turn") == 2)
    assert bench.world.done.count("ask window") == 1  # the first one's: nobody is next while it is under way
    let_go.set()
    await first.result()
    deployment_id = wanted.place.deployment_id
    await until(lambda: progress_of(bench, deployment_id).next_open is not None)
    assert bench.world.done.count("open release") == 1


async def test_a_rollback_is_not_held(bench: Bench) -> None:
    bench.world.old_release()
    freeze(bench)
    environment_id = uuid4()
    held_one, _ = await held(bench, environment_id)
    urgent = await bench.start(rollback(place(environment_id)))
    await urgent.result()
    seen = await state(bench, environment_id)
    assert [w.workflow_id for w in seen.waiting] == [held_one.id]


async def test_whoever_may_override_the_freeze_overtakes_those_it_holds(bench: Bench) -> None:
    freeze(bench)
    environment_id = uuid4()
    held_one, _ = await held(bench, environment_id)
    hotfix = order(place(environment_id))
    bench.world.overriding.add(hotfix.place.deployment_id)
    await (await bench.start(hotfix)).result()
    seen = await state(bench, environment_id)
    assert [w.workflow_id for w in seen.waiting] == [held_one.id]


async def test_while_held_nothing_happens(bench: Bench) -> None:
    freeze(bench)
    environment_id = uuid4()
    handle, _ = await held(bench, environment_id)
    asked = bench.world.done.count("ask window")
    again = (await state(bench, environment_id)).waiting[0]
    for _ in range(3):
        await entity(bench, environment_id).signal(SignalName.REQUEST_TURN, again)
    await state(bench, environment_id)
    assert bench.world.done.count("ask window") == asked
    description = await entity(bench, environment_id).describe()
    assert description.history_length < 60
    await handle.terminate()


async def test_settings_that_cannot_be_read_hold(bench: Bench) -> None:
    bench.world.use_entity = True
    bench.world.faults["environment.window"] = "INTERNAL_ERROR"
    environment_id = uuid4()
    wanted = order(place(environment_id))
    await bench.start(wanted)
    await until(lambda: "cannot be read" in (bench.world.progress.current_step or "") if bench.world.records else False)
    del bench.world.faults["environment.window"]
    change = SettingsChanged(environment_id=environment_id)
    await entity(bench, environment_id).signal(SignalName.SETTINGS_CHANGED, change)
    await bench.client.get_workflow_handle(str(wanted.place.operation_id)).result()
