import shutil

import pytest

from examples.client import ApiError
from tests.support.deep import by_depth
from tests.support.load_process import load_on
from tests.support.services import until

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(400)]

RPS = by_depth(short=100, long=500)


def test_the_first_deployment_serves_traffic(platform):
    app = platform.app("first")
    shipped = app.ship(
        spec={"test": {"command": "python3 run_tests.py reports/junit.xml", "report": "reports/junit.xml"}}
    )
    assert shipped.succeeded, shipped.operation
    assert shipped.operation["progress_percent"] == 100
    steps = {step["name"]: step["status"] for step in shipped.operation["steps"]}
    assert set(steps.values()) == {"completed"}, steps
    assert shipped.deployment["health_check_status"] == "healthy"

    environment = app.api.environment(app.project["id"])
    assert "dev.first.acme.localhost" in environment["url"]
    answer = app.service.get("/version")
    assert answer.json()["version"] == shipped.version
    assert answer.headers["x-delivery-release"]


def test_the_build_and_its_logs_are_there_afterwards(live):
    shipped = live.ship_good()
    build = live.api.build(shipped.deployment["build_id"])
    assert build["status"] == "success"
    assert build["git_commit_hash"] == shipped.commit
    assert build["version_tag"] == shipped.version
    assert build["git_branch"] == "main"
    logs = live.api.raw("GET", f"/v1/builds/{build['id']}/logs")
    assert logs.status_code == 200
    assert f"built version {shipped.version}" in logs.text


@pytest.mark.shortened
def test_two_switches_under_load_fail_no_request(platform):
    app = platform.app("loaded")
    # Of a busy machine that is under load besides, no answer is asked within the usual second.
    two = {"service": {"replicas": 2, "health": {"timeout": 20}}}
    versions = [app.ship_good(spec=two).version]
    with load_on(app.service, rps=RPS) as load:
        for strategy in ("blue_green", "rolling"):
            versions.append(app.ship_good(spec=two, deployment_strategy=strategy).version)
            assert app.service.version() == versions[-1]
        summary = load.stop()
    assert summary["failures"] == 0, summary["examples"]
    assert summary["requests"] >= RPS * 2
    assert len(summary["releases"]) == 3, summary["releases"]


def test_rollback_after_success_brings_the_previous_version_back(platform):
    app = platform.app("returning")
    first, second = app.ship_good(), app.ship_good()
    assert app.service.version() == second.version
    answer = app.api.raw(
        "POST", f"/v1/deployments/{second.deployment['id']}/rollback", json={"reason": "Too many complaints"}
    )
    assert answer.status_code == 200, answer.text
    rolled_back = answer.json()["data"]
    assert rolled_back["status"] == "rolled_back"
    assert rolled_back["rollback_reason"] == "Too many complaints"
    assert rolled_back["rolled_back_at"]
    assert app.service.version() == first.version
    with pytest.raises(ApiError) as again:
        app.api.rollback(second.deployment["id"], "once more")
    assert (again.value.status, again.value.code) == (400, "INVALID_STATE")


def test_a_version_tag_twice_is_a_conflict(live):
    taken = live.ship_good().version
    with pytest.raises(ApiError) as twice:
        live.api.build_and_deploy(live.feature["id"], taken)
    assert twice.value.status == 409


@pytest.mark.deep
def test_a_service_in_c_deploys(platform):
    if not shutil.which("cc") or not shutil.which("make"):
        pytest.skip("this machine has no C compiler or no make; the example needs both")
    app = platform.app("compiled", "hello-c")
    shipped = app.ship_good(spec={"test": {"command": "make test", "report": "reports/junit.xml"}})
    assert app.service.version() == shipped.version
    assert "in C" in app.service.get("/").text


@pytest.mark.deep
def test_a_restart_of_the_stack_keeps_state_and_service(platform):
    app = platform.app("lasting")
    shipped = app.ship_good()
    platform.restart()
    assert app.api.deployment(shipped.deployment["id"])["status"] == "success"
    assert app.api.operation(shipped.operation["operation_id"])["status"] == "completed"
    until(lambda: app.serves(shipped.version), "serving after the restart", 180)
    again = app.ship_good()
    assert app.service.version() == again.version
