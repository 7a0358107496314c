"""Canaries on the real stack: evidence decides, people can step in, and the stable version never notices."""

import pytest

from tests.support.load_process import load_on
from tests.support.services import until

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(400)]

RPS = 50
JUDGED = {
    "rollout": {"scale_down_delay": 1, "verify_seconds": 0.5},
    "analysis": {"duration": 60, "min_requests": 50, "compare": ["errors"], "min_effect": 4, "pass_early": True},
}
CANARY = {"deployment_strategy": "canary", "canary_percentage": 50}


@pytest.fixture(scope="module")
def judged(platform):
    app = platform.app("judged")
    app.ship_good()
    with load_on(app.service, rps=RPS):
        yield app


def decide(app, begun, action: str, **body: str):
    return app.api.raw("POST", f"/v1/deployments/{begun.accepted.deployment_id}/{action}", json=body)


def analysing(app, begun) -> bool:
    return app.api.deployment(begun.accepted.deployment_id)["analysis"] is not None


def test_a_good_canary_passes_on_evidence(judged):
    shipped = judged.ship(spec=JUDGED, **CANARY)
    assert shipped.succeeded, shipped.operation
    analysis = shipped.deployment["analysis"]
    assert (analysis["verdict"], analysis["early"]) == ("pass", True)
    assert analysis["reasons"][0].startswith("passed early, after ")
    [errors] = [metric for metric in analysis["metrics"] if metric["metric"] == "error_rate"]
    assert errors["canary"]["requests"] >= 50
    assert errors["stable"]["requests"] >= 50
    assert judged.service.version() == shipped.version


def test_a_bad_canary_is_caught_and_rolled_back_naming_the_metric(judged):
    before = judged.service.version()
    shipped = judged.ship(spec=JUDGED, fault="errors:20", **CANARY)
    assert shipped.error["code"] == "ANALYSIS_FAILED"
    assert shipped.deployment["status"] == "rolled_back"
    analysis = shipped.deployment["analysis"]
    assert analysis["verdict"] == "fail"
    [errors] = [metric for metric in analysis["metrics"] if metric["metric"] == "error_rate"]
    assert errors["evidence"] >= errors["limit"]
    assert errors["canary"]["value"] > errors["stable"]["value"]
    assert "error" in shipped.error["message"]
    told = shipped.deployment
    assert told["rollback_reason"] == shipped.error["message"]
    assert 1 < told["error_rate_percent"] < 60
    assert told["performance_metrics"]["error_rate_percent"] == told["error_rate_percent"]
    assert {"p95_response_time_ms", "throughput_rps"} <= told["performance_metrics"].keys()
    assert judged.service.version() == before


@pytest.mark.deep
def test_a_canary_that_answers_404_to_everybody_is_held(judged):
    """The case canary-all-404: 4xx are no errors by default, but such a difference is for a person to judge."""
    before = judged.service.version()
    quick = {**JUDGED, "analysis": {**JUDGED["analysis"], "duration": 5, "on_inconclusive": "fail"}}
    shipped = judged.ship(spec=quick, fault="missing:100", **CANARY)
    assert shipped.error["code"] == "ANALYSIS_FAILED"
    assert "4xx: canary 100 %" in shipped.error["message"]
    assert "the two sides differ" in shipped.error["message"]
    counted = {**quick, "analysis": {**quick["analysis"], "errors": "4xx,5xx"}}
    shipped = judged.ship(spec=counted, fault="missing:100", **CANARY)
    assert shipped.deployment["analysis"]["verdict"] == "fail"
    assert "the canary fails more often" in shipped.error["message"]
    assert judged.service.version() == before


@pytest.mark.deep
def test_a_fault_that_begins_after_the_switch_is_caught_while_the_written_time_is_watched(judged):
    """The evidence of a low rate is in after seconds; the watch goes on to its end all the same.

    20 % of the last seconds are less than the limit of the whole time. They are counted from the start of the process,
    so that a busy machine, where the switch comes late, makes more of them.
    """
    before = judged.service.version()
    watched = {
        "rollout": {**JUDGED["rollout"], "blue_green": {"analyse": 32}},
        "analysis": {"min_requests": 50, "max_error_rate": 5, "pass_early": False},  # what the example asks for
    }
    shipped = judged.ship(spec=watched, fault="errors:20:26", deployment_strategy="blue_green")
    assert shipped.error["code"] == "ANALYSIS_FAILED"
    assert shipped.deployment["analysis"]["elapsed_seconds"] > 5
    assert "error rate limit 5 %" in shipped.error["message"]
    assert judged.service.version() == before


@pytest.mark.deep
def test_aborted_at_half_goes_back_and_the_next_one_completes(judged):
    before = judged.service.version()
    patient = {**JUDGED, "analysis": {**JUDGED["analysis"], "pass_early": False}}
    begun = judged.begin(spec=patient, **CANARY)
    until(lambda: analysing(judged, begun), "an analysis", 180)
    assert decide(judged, begun, "abort", reason="not today").status_code == 200
    operation = judged.api.wait(begun.accepted.operation_id, 180)
    assert operation["status"] == "cancelled"
    assert judged.api.deployment(begun.accepted.deployment_id)["status"] == "rolled_back"
    assert judged.service.version() == before
    assert judged.ship_good(spec=JUDGED, **CANARY).version == judged.service.version()


@pytest.mark.deep
def test_inconclusive_waits_for_a_person_who_promotes(judged):
    unsure = {**JUDGED, "analysis": {**JUDGED["analysis"], "duration": 2, "min_requests": 100_000}}
    begun = judged.begin(spec=unsure, **CANARY)
    deployment_id = begun.accepted.deployment_id
    until(lambda: judged.api.deployment(deployment_id)["status"] == "paused", "a pause", 180)
    refused = decide(judged, begun, "pause")
    assert refused.status_code == 400
    assert refused.json()["error"]["code"] == "INVALID_STATE"
    assert "allowed now: abort, promote, resume" in refused.json()["error"]["message"]
    assert decide(judged, begun, "promote", reason="I looked myself").status_code == 200
    assert judged.api.wait(begun.accepted.operation_id, 180)["status"] == "completed"
    assert judged.service.version() == begun.version


@pytest.mark.deep
def test_a_ramp_goes_up_step_by_step(judged):
    ramp = {**JUDGED, "rollout": {**JUDGED["rollout"], "ramp": {"step_percent": 40, "interval": 30}}}
    shipped = judged.ship(spec=ramp, deployment_strategy="ramp")
    assert shipped.succeeded, shipped.operation
    assert judged.service.version() == shipped.version


def test_production_waits_for_somebody_else_to_approve(platform):
    app = platform.app("approved")
    begun = app.begin(environment="production", request_approval=True)
    deployment_id = begun.accepted.deployment_id
    until(lambda: app.api.deployment(deployment_id)["status"] == "awaiting_approval", "a wait", 180)
    own = decide(app, begun, "approve")
    assert own.status_code == 403
    assert "four eyes" in own.json()["error"]["message"]
    boss = platform.stack.token(sub="boss")
    path = f"/v1/deployments/{deployment_id}/approve"
    answer = app.api.raw("POST", path, json={"reason": "fine"}, headers={"authorization": f"Bearer {boss}"})
    assert answer.status_code == 200, answer.text
    assert app.api.wait(begun.accepted.operation_id, 180)["status"] == "completed"
