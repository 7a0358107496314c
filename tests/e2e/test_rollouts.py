"""Rollouts on the real stack: the scenarios of engine.md about a single rollout (docs/scenarios.md has them all)."""

import pytest

from domain.lifecycle import ReleaseState
from tests.support.load_process import load_on
from tests.support.services import until

pytestmark = [pytest.mark.e2e, pytest.mark.deep, pytest.mark.timeout(400)]

RPS = 100
QUICK = {"scale_down_delay": 1, "verify_seconds": 0.5}
JUDGED = {
    "rollout": QUICK,
    "analysis": {"duration": 60, "min_requests": 50, "compare": ["errors", "latency"], "min_effect": 4},
}
CANARY = {"deployment_strategy": "canary", "canary_percentage": 50}
PREVIEW = "x-delivery-preview"


@pytest.fixture(scope="module")
def busy(platform):
    """An application with a stable version under load."""
    app = platform.app("rollouts")
    app.ship_good()
    with load_on(app.service, rps=RPS):
        yield app


def decide(app, begun, action: str, **body: str):
    return app.api.raw("POST", f"/v1/deployments/{begun.accepted.deployment_id}/{action}", json=body)


def status(app, begun) -> str:
    return app.api.deployment(begun.accepted.deployment_id)["status"]


def test_one_metric_of_several_fails_and_the_reasons_name_it(busy):
    """Scenario 3."""
    before = busy.service.version()
    shipped = busy.ship(spec=JUDGED, fault="slow:60", **CANARY)
    assert shipped.error["code"] == "ANALYSIS_FAILED"
    assert "latency" in shipped.error["message"]
    metrics = {metric["metric"]: metric for metric in shipped.deployment["analysis"]["metrics"]}
    assert metrics["latency"]["finding"] == "harm"
    assert metrics["error_rate"]["finding"] != "harm"
    assert shipped.deployment["status"] == "rolled_back"
    assert busy.service.version() == before


@pytest.mark.deep
def test_a_check_that_fails_before_the_switch_moves_no_traffic(platform, records):
    """Scenario 4."""
    app = platform.app("checked")
    app.ship_good()
    checked = {"rollout": {**QUICK, "blue_green": {"checks": ["/not-there"]}}}
    with load_on(app.service, rps=RPS) as load:
        shipped = app.ship(spec=checked, deployment_strategy="blue_green")
        summary = load.stop()
    assert shipped.error["code"] == "PREVIEW_FAILED"
    assert "/not-there answered 404" in shipped.error["message"]
    assert shipped.deployment["status"] == "failed"
    assert summary["failures"] == 0, summary["examples"]
    assert len(summary["releases"]) == 1, "users met the stable version only"


@pytest.mark.deep
def test_without_progress_until_the_deadline_it_goes_back(busy):
    """Scenario 6."""
    before = busy.service.version()
    slow = {
        "service": {"health": {"startup_timeout": 60}},
        "rollout": {**QUICK, "progress_deadline": 2},
    }
    shipped = busy.ship(spec=slow, fault="never-listens", deployment_strategy="blue_green")
    assert shipped.error["code"] == "PROGRESS_DEADLINE_EXCEEDED"
    assert busy.service.version() == before


def test_an_abort_keeps_the_capacity(platform, records):
    """Scenario 8: the stable side has its instances again before it gets the traffic."""
    app = platform.app("capacity")
    two = {"service": {"replicas": 2}, "rollout": {**QUICK, "max_surge_percent": 50}}
    app.ship_good(spec=two)
    stable = records.environment(app.project["id"])["current_release_id"]
    patient = {**two, "rollout": {**two["rollout"], "verify_seconds": 60}}
    with load_on(app.service, rps=RPS) as load:
        begun = app.begin(spec=patient, deployment_strategy="rolling")
        step = "Watching the new version"
        until(lambda: step in (app.api.operation(begun.accepted.operation_id)["current_step"] or ""), step, 180)
        assert len(records.all("SELECT id FROM instances WHERE release_id = %s", stable)) == 1
        assert decide(app, begun, "abort", reason="capacity").status_code == 200
        assert app.api.wait(begun.accepted.operation_id, 180)["status"] == "cancelled"
        summary = load.stop()
    assert summary["failures"] == 0, summary["examples"]
    assert len(records.all("SELECT id FROM instances WHERE release_id = %s AND in_rotation", stable)) == 2


@pytest.mark.deep
def test_over_the_limit_it_fails_and_only_asking_again_starts_a_new_run(busy):
    """Scenario 9."""
    limited = {**JUDGED, "analysis": {**JUDGED["analysis"], "compare": [], "max_error_rate": 2}}
    first = busy.ship(spec=limited, fault="errors:20", **CANARY)
    assert first.error["code"] == "ANALYSIS_FAILED"
    assert "limit" in first.error["message"]
    deployments = busy.api.call("GET", f"/projects/{busy.project['id']}/deployments?page_size=100")
    again = busy.ship(spec=limited, fault="errors:20", **CANARY)
    assert again.deployment["id"] != first.deployment["id"]
    assert again.deployment["status"] == first.deployment["status"] == "rolled_back"
    later = busy.api.call("GET", f"/projects/{busy.project['id']}/deployments?page_size=100")
    assert len(later) == len(deployments) + 1


def test_a_dark_launch_is_reached_by_its_preview_only(busy, records):
    before = busy.service.version()
    begun = busy.begin(spec=JUDGED, deployment_strategy="canary", canary_percentage=0)
    until(lambda: status(busy, begun) == "paused", "a dark launch", 180)
    release_id = begun.accepted.deployment_id
    token = records.one("SELECT preview_token FROM releases WHERE id = %s", release_id)["preview_token"]
    assert busy.service.get("/version", headers={PREVIEW: token}).json()["version"] == begun.version
    assert busy.service.get("/version", headers={PREVIEW: "guessed"}).json()["version"] == before
    assert {busy.service.version() for _ in range(50)} == {before}
    preview = busy.api.deployment(release_id)["preview"]
    assert (preview["header"], preview["token"]) == (PREVIEW, token)
    assert decide(busy, begun, "resume", reason="looks good").status_code == 200
    assert busy.api.wait(begun.accepted.operation_id, 180)["status"] == "completed"
    assert busy.service.version() == begun.version
    assert busy.api.deployment(release_id)["preview"] is None


@pytest.mark.deep
def test_users_of_a_sticky_canary_stay(busy):
    sticky = {
        **JUDGED,
        "rollout": {**QUICK, "sticky": {}, "canary": {"steps": [{"weight": 30, "pause": "manual"}]}},
    }
    begun = busy.begin(spec=sticky, deployment_strategy="canary", canary_percentage=30)
    until(lambda: status(busy, begun) == "paused", "a canary at 30 %", 180)
    users = [busy.service.user() for _ in range(40)]
    try:
        first = [user.version() for user in users]
        assert {begun.version} < set(first), "both versions have users"
        for _ in range(5):
            assert [user.version() for user in users] == first
    finally:
        for user in users:
            user.close()
    assert decide(busy, begun, "abort", reason="seen enough").status_code == 200
    assert busy.api.wait(begun.accepted.operation_id, 180)["status"] == "cancelled"


@pytest.mark.deep
def test_a_first_version_over_its_limit_is_taken_away(platform):
    app = platform.app("firstlimit")
    limits = {"analysis": {"duration": 90, "min_requests": 20, "max_error_rate": 5}, "rollout": QUICK}
    begun = app.begin(spec=limits, fault="errors:50", **CANARY)
    until(
        lambda: "Comparing" in (app.api.operation(begun.accepted.operation_id)["current_step"] or ""), "analysis", 180
    )
    with load_on(app.service, rps=RPS):
        operation = app.api.wait(begun.accepted.operation_id, 180)
    assert operation["error"]["code"] == "ANALYSIS_FAILED"
    assert app.service.get("/version").status_code == 404


def test_a_rollback_to_what_still_runs_takes_no_new_instance(platform, records):
    app = platform.app("instant")
    kept = {"rollout": {**QUICK, "scale_down_delay": 120}}
    first = app.ship_good(spec=kept)
    second = app.ship_good(spec=kept)
    old = records.environment(app.project["id"])["previous_release_id"]
    before = records.all("SELECT id, port, created_at FROM instances WHERE release_id = %s", old)
    answer = app.api.raw("POST", f"/v1/deployments/{second.deployment['id']}/rollback", json={"reason": "bad"})
    assert answer.status_code == 200, answer.text
    assert answer.json()["data"]["rolled_back_to_build_id"] == first.deployment["build_id"]
    assert app.service.version() == first.version
    assert records.all("SELECT id, port, created_at FROM instances WHERE release_id = %s", old) == before
    until(lambda: not records.all("SELECT id FROM instances WHERE release_id = %s", second.deployment["id"]), "a stop")
    states = {row["id"]: row["state"] for row in records.all("SELECT id, state FROM releases")}
    assert states[old] == ReleaseState.ACTIVE
    until(lambda: app.api.environment(app.project["id"])["lock"] is None, "the end of the rollback")
    # and the environment goes on working
    third = app.ship_good(spec=kept)
    assert app.service.version() == third.version
