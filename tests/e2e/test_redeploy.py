"""Builds that exist are deployed, retried and promoted again on the real stack."""

import pytest

from examples.client import ApiError
from tests.support.load_process import load_on
from tests.support.platform import OPERATION_SECONDS
from tests.support.services import until

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]

RPS = 200
# Long enough to be aborted in the middle, short enough to be waited for.
JUDGED = {
    "rollout": {"scale_down_delay": 1, "verify_seconds": 0.5},
    "analysis": {"duration": 10, "min_requests": 50, "compare": ["errors"], "min_effect": 4, "pass_early": False},
}
# It would be judged for an hour, so whatever ends sooner was not.
PATIENT = {**JUDGED, "analysis": {**JUDGED["analysis"], "duration": 3600}}
HALF = {"deployment_strategy": "canary", "canary_percentage": 50}


@pytest.fixture(scope="module")
def again(platform):
    app = platform.app("again")
    app.ship_good()
    with load_on(app.service, rps=RPS):
        yield app


def aborted_at_half(app, spec):
    """A canary that had half of the traffic and was aborted there; its new version has none of it any more."""
    before = app.service.version()
    begun = app.begin(spec=spec, **HALF)
    deployment_id = begun.accepted.deployment_id
    until(lambda: app.api.deployment(deployment_id)["analysis"] is not None, "an analysis at 50 %", 60)
    app.api.call("POST", f"/deployments/{deployment_id}/abort", {"reason": "not today"})
    assert app.api.wait(begun.accepted.operation_id, 30)["status"] == "cancelled"
    assert app.api.deployment(deployment_id)["status"] == "rolled_back"
    assert {app.service.version() for _ in range(20)} == {before}
    return begun


def finished(app, accepted):
    operation = app.api.wait(accepted.operation_id, OPERATION_SECONDS)
    return operation, app.api.deployment(accepted.deployment_id)


def test_a_build_is_deployed_to_staging_by_its_id(platform):
    app = platform.app("by-id")
    shipped = app.ship_good()
    build_id = shipped.deployment["build_id"]
    operation, deployment = finished(app, app.api.deploy(build_id, environment="staging"))
    assert (operation["status"], deployment["status"]) == ("completed", "success"), operation
    assert [step["name"] for step in operation["steps"]] == ["rollout"]
    assert (deployment["build_id"], deployment["deployment_strategy"]) == (build_id, "rolling")
    staging = platform.service(app.api.environment(app.project["id"], "staging")["url"])
    assert staging.version() == shipped.version == app.service.version()
    listed = app.api.call("GET", f"/builds/{build_id}/deployments")
    assert [row["environment"] for row in listed] == ["staging", "dev"]
    with pytest.raises(ApiError, match="cannot retry while it is success"):
        app.api.retry(deployment["id"], "again")


def test_retry_after_an_abort_at_half_starts_clean_and_completes(again):
    begun = aborted_at_half(again, JUDGED)
    old = begun.accepted.deployment_id
    operation, deployment = finished(again, again.api.retry(old, "the day is better now"))
    assert (operation["status"], deployment["status"]) == ("completed", "success"), operation
    assert (deployment["retry_of"], deployment["canary_percentage"]) == (old, 50)
    assert operation["kind"] == "deploy"
    assert deployment["analysis"]["verdict"] == "pass"  # judged anew, not by what the first one left
    assert again.service.version() == begun.version
    assert again.api.deployment(old)["status"] == "rolled_back"


def test_promote_after_an_abort_makes_a_new_one_without_analysis(again):
    begun = aborted_at_half(again, PATIENT)
    old = begun.accepted.deployment_id
    operation, deployment = finished(again, again.api.promote_again(old, "I looked myself"))
    assert (operation["status"], deployment["status"]) == ("completed", "success"), operation
    assert (deployment["retry_of"], deployment["skip_analysis"], deployment["analysis"]) == (old, True, None)
    assert again.service.version() == begun.version
    assert again.api.deployment(old)["status"] == "rolled_back"


def test_retry_of_a_failed_build_builds_it_again(again):
    shipped = again.ship(spec={"build": {"steps": ["false"]}})
    assert shipped.error["code"] == "BUILD_FAILED"
    operation, deployment = finished(again, again.api.retry(shipped.deployment["id"], "once more"))
    assert (operation["kind"], operation["error"]["code"]) == ("build_and_deploy", "BUILD_FAILED")
    assert deployment["retry_of"] == shipped.deployment["id"]
    with pytest.raises(ApiError, match="no good build"):
        again.api.promote_again(deployment["id"], "please")
