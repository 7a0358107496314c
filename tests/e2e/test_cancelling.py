"""Cancelled at any step: nothing is left behind, and the old version never noticed."""

import pytest

from domain.lifecycle import StepName
from tests.chaos.invariants import settled
from tests.chaos.moments import moments
from tests.chaos.watching import await_end, await_moment
from tests.support.load_process import load_on

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(400)]

RPS = 50
MOMENTS = moments(1)
# `make test` cancels at this one; the others are as many more deployments.
FIRST = ("rollout:shift",)
EACH = [pytest.param(each, marks=() if each.name in FIRST else pytest.mark.deep, id=str(each)) for each in MOMENTS]
SPEC = {
    "build": {"steps": ["python3 build.py", "sleep 1"]},
    "test": {"command": "sleep 1"},
    "rollout": {"scale_down_delay": 0.5, "verify_seconds": 2},
}
REFUSED = (400, 409)


@pytest.fixture(scope="module")
def app(platform):
    made = platform.app("cancelled")
    made.ship_good(spec=SPEC)
    with load_on(made.service, rps=RPS) as load:
        yield made
        summary = load.stop()
    assert summary["failures"] == 0, summary["examples"]
    assert summary["requests"] > RPS


@pytest.mark.parametrize("moment", EACH)
def test_cancelled_at(app, records, moment):
    before = app.service.version()
    begun = app.begin(spec=SPEC)
    operation_id = begun.accepted.operation_id
    await_moment(records, operation_id, moment, MOMENTS)
    answer = app.api.raw("POST", f"/v1/operations/{operation_id}/cancel", json={"reason": "changed our minds"})
    row = await_end(records, operation_id, 180)

    assert settled(records, app.project["id"]) == []
    if answer.status_code in REFUSED:  # past the final switch, from where only a rollback leads back
        assert moment.name in ("rollout:verify", "rollout:promote", "rollout:retire"), answer.text
        assert row["status"] == "completed"
        assert app.service.version() == begun.version
        return
    assert answer.status_code == 202, answer.text
    assert row["status"] == "cancelled"
    assert "changed our minds" in row["error"]["message"]
    # A short step may be over before the cancellation arrives; then a later one is named, never an earlier one.
    reached = next(step for step in StepName if f"during {step} " in row["error"]["message"])
    assert list(StepName).index(reached) >= list(StepName).index(moment.step)
    assert app.service.version() == before
