"""What a workflow does not wait for any more may end as it likes: no error line that nobody has to act on."""

import asyncio
import gc

import pytest
from temporalio.client import WorkflowFailureError

from contracts.names import ABORT_UPDATE
from contracts.operations import AbortRequest, ActionRequest
from domain.approvals import Action
from domain.delivery_spec import RolloutSpec
from domain.lifecycle import Strategy
from tests.workflows.conftest import Bench
from tests.workflows.world import SPEC, order


def logged(caplog: pytest.LogCaptureFixture) -> list[str]:
    gc.collect()
    return [r.getMessage() for r in caplog.records if "never retrieved" in r.getMessage()]


async def test_an_analysis_that_a_promotion_ends(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    bench.world.old_release()
    bench.world.hold("analysis.judge")
    handle = await bench.start(order(strategy=Strategy.CANARY, canary_percentage=10))
    await asyncio.wait_for(bench.world.reached["analysis.judge"].wait(), 60)
    await handle.execute_update(Action.PROMOTE, ActionRequest(actor="ben", reason="known good"))
    await handle.result()
    assert logged(caplog) == []


async def test_a_step_that_its_deadline_ends(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    bench.world.old_release()
    bench.world.hold("instances.await_healthy")
    bench.world.spec = SPEC.model_copy(update={"rollout": RolloutSpec(progress_deadline=1)})
    handle = await bench.start(order())
    with pytest.raises(WorkflowFailureError):
        await handle.result()
    assert logged(caplog) == []


async def test_a_step_that_an_abort_ends(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    bench.world.old_release()
    bench.world.hold("instances.await_healthy")
    handle = await bench.start(order())
    await asyncio.wait_for(bench.world.reached["instances.await_healthy"].wait(), 60)
    await handle.execute_update(ABORT_UPDATE, AbortRequest(actor="ben", reason="no"))
    with pytest.raises(WorkflowFailureError):
        await handle.result()
    assert logged(caplog) == []
