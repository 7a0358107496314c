"""Waiting for the environment's turn is told apart from work, so that nobody learns from it."""

from contracts.names import SignalName
from contracts.operations import StepProgress
from contracts.rollouts import LockGrant
from domain.eta import machine_seconds
from domain.lifecycle import StepName
from runtime.ids import now
from tests.support.waiting import until
from tests.workflows.conftest import Bench
from tests.workflows.world import order


async def test_the_wait_for_the_lock_is_no_machine_time(bench: Bench) -> None:
    bench.world.turn_is_free = False
    wanted = order()
    handle = await bench.start(wanted)

    def rollout() -> StepProgress | None:
        steps = bench.world.progress.steps if bench.world.records else ()
        return next((step for step in steps if step.name is StepName.ROLLOUT), None)

    await until(lambda: "ask turn" in bench.world.done)
    waiting = rollout()
    assert waiting is not None
    assert waiting.waiting_since == waiting.started_at is not None
    assert machine_seconds(waiting, now()) == 0
    grant = LockGrant(environment_id=wanted.place.environment_id, workflow_id=handle.id)
    await handle.signal(SignalName.TURN_GRANTED, grant)
    await handle.result()
    done = rollout()
    assert done is not None
    assert done.started_at is not None
    assert done.completed_at is not None
    assert done.waiting_since is None
    assert done.waited_seconds > 0
    total = (done.completed_at - done.started_at).total_seconds()
    assert 0 < machine_seconds(done, now()) <= total - done.waited_seconds + 0.001
