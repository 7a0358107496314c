"""The machine goes off, or the stack is stopped: what ran serves again, and a version on its way up arrives."""

import itertools

import pytest

from tests.chaos.invariants import settled
from tests.chaos.power import power_cut, processes_below
from tests.support.load_process import load_on
from tests.support.platform import OPERATION_SECONDS
from tests.support.services import until

pytestmark = [pytest.mark.e2e, pytest.mark.deep, pytest.mark.timeout(400)]

BACK_SECONDS = 240.0
SLOW = {"service": {"command": "sleep 3; exec python3 app.py", "health": {"startup_timeout": 20}}}
HELD = {"rollout": {"scale_down_delay": 1, "canary": {"steps": [{"weight": 30, "pause": "manual"}]}}}
DARK = {"rollout": {"scale_down_delay": 1, "blue_green": {"manual": True}}}
JUDGED = {
    "rollout": {"scale_down_delay": 1, "verify_seconds": 0.5},
    "analysis": {"duration": 120, "min_requests": 50, "compare": ["errors"], "min_effect": 20, "pass_early": True},
}
NUMBERS = itertools.count()


@pytest.fixture
def app(platform):
    made = platform.app(f"cut{next(NUMBERS)}")
    made.ship_good()
    return made


@pytest.fixture(scope="module")
def kept(platform):
    """A service of two instances that nobody changes."""
    made = platform.app("kept-in-the-cut")
    made.ship_good(spec={"service": {"replicas": 2}})
    return made


@pytest.fixture(params=["power cut", pytest.param("down", marks=pytest.mark.deep)])
def off(request, platform, records):
    """Everything stops, in either way."""

    def turn_off() -> None:
        if request.param == "power cut":
            power_cut(platform, records)
            return
        platform.close_connections()
        platform.stack.down()
        records.close()
        assert processes_below(platform.stack.data_dir) == []

    return turn_off


@pytest.fixture
def cut(platform, records):
    return lambda: power_cut(platform, records)


def status(app, begun):
    return app.api.deployment(begun.accepted.deployment_id)["status"]


def decide(app, begun, action, **body):
    answer = app.api.raw("POST", f"/v1/deployments/{begun.accepted.deployment_id}/{action}", json=body)
    assert answer.is_success, answer.text


def step(records, begun):
    return records.operation(begun.accepted.operation_id)["current_step"] or ""


def starting(records, begun):
    """The new version's instance has a process, and is not healthy yet."""
    environment = records.operation(begun.accepted.operation_id)["project_id"]
    shims = records.shims(records.environment(environment)["id"])
    return any(name.startswith(begun.accepted.deployment_id) and s.child_pid for name, s in shims.items())


def completes(app, records, begun):
    operation = app.api.wait(begun.accepted.operation_id, OPERATION_SECONDS)
    assert operation["status"] == "completed", operation
    assert settled(records, app.project["id"], 180) == []
    assert app.service.version() == begun.version


def both_serve(app, begun, before):
    """Only good answers in a row, from both sides."""
    answers = [app.service.get("/version") for _ in range(60)]
    if any(answer.status_code != 200 for answer in answers):
        return False
    return {answer.json()["version"] for answer in answers} == {begun.version, before}


def test_what_runs_serves_again_by_itself_also_a_canary_that_a_person_holds(*, platform, records, app, kept, off):
    before, version = app.service.version(), kept.service.version()
    begun = app.begin(spec=HELD, deployment_strategy="canary", canary_percentage=30)
    until(lambda: status(app, begun) == "paused", "the hold", 180)
    off()
    platform.start()
    until(lambda: kept.serves(version), "serving again", BACK_SECONDS)
    until(lambda: both_serve(app, begun, before), "both sides serving", BACK_SECONDS)
    assert status(app, begun) == "paused"
    decide(app, begun, "resume")
    completes(app, records, begun)
    assert settled(records, kept.project["id"]) == []
    kept.ship_good(spec={"service": {"replicas": 2}})


@pytest.mark.long
def test_the_power_goes_while_it_starts(platform, records, app, cut):
    begun = app.begin(spec=SLOW)
    until(lambda: starting(records, begun), "its process", 180)
    cut()
    platform.start()
    completes(app, records, begun)


@pytest.mark.long
def test_the_power_goes_while_it_is_only_on_its_preview(platform, records, app, cut):
    begun = app.begin(spec=DARK)
    until(lambda: status(app, begun) == "paused", "the hold", 180)
    cut()
    platform.start()
    decide(app, begun, "resume")  # at once: the next step finds its instances gone
    completes(app, records, begun)


@pytest.mark.long
def test_the_power_goes_while_it_is_judged(platform, records, app, cut):
    with load_on(app.service, rps=30):
        begun = app.begin(spec=JUDGED, deployment_strategy="canary", canary_percentage=50)
        until(lambda: app.api.deployment(begun.accepted.deployment_id)["analysis"], "an analysis", 180)
        cut()
    platform.start()
    with load_on(app.service, rps=30):
        completes(app, records, begun)


@pytest.mark.long
def test_the_power_goes_while_it_is_watched(platform, records, app, cut):
    begun = app.begin(spec={"rollout": {"scale_down_delay": 1, "verify_seconds": 5}})
    until(lambda: step(records, begun).startswith("Watching"), "the watch", 180)
    cut()
    platform.start()
    completes(app, records, begun)


@pytest.mark.long
def test_what_is_kept_for_a_return_is_there_again(platform, records, app, cut):
    first = app.ship_good()
    kept = app.ship_good(spec={"rollout": {"scale_down_delay": 600}})
    assert kept.succeeded
    cut()
    platform.start()

    def both_run():
        shims = records.shims(records.environment(app.project["id"])["id"])
        return len(shims) == 2 and all(shim.child_pid for shim in shims.values())

    until(both_run, "both releases", BACK_SECONDS)
    until(app.serves, "serving", BACK_SECONDS)
    operation = app.api.rollback(kept.deployment["id"], "back")
    assert app.api.wait(operation["operation_id"], 180)["status"] == "completed"
    assert app.service.version() == first.version


@pytest.mark.long
def test_an_abort_before_the_power_goes_is_not_undone(platform, records, app, cut):
    before = app.service.version()
    begun = app.begin(spec=HELD, deployment_strategy="canary", canary_percentage=30)
    until(lambda: status(app, begun) == "paused", "the hold", 180)
    decide(app, begun, "abort", reason="no")
    cut()
    platform.start()
    assert app.api.wait(begun.accepted.operation_id, OPERATION_SECONDS)["status"] == "cancelled"
    assert settled(records, app.project["id"], 180) == []
    assert app.service.version() == before
