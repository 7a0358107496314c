"""Builds that were made elsewhere are made from their commit when they are deployed, on the real stack."""

import pytest

from examples.client import ApiError
from tests.support.facts import facts
from tests.support.platform import OPERATION_SECONDS

pytestmark = [pytest.mark.e2e, pytest.mark.deep, pytest.mark.timeout(400)]

FACTS = {
    "docker_image_url": "registry.example.com/project:1.2.0",
    "tests_passed": 245,
    "tests_failed": 0,
    "code_coverage_percent": 88.5,
    "security_scan_status": "passed",
}


@pytest.fixture(scope="module")
def app(platform):
    return platform.app("elsewhere")


def reported(app, version, commit, branch="main"):
    body = {"version_tag": version, "git_commit_hash": commit, "git_branch": branch, **FACTS}
    return app.api.call("POST", f"/features/{app.feature['id']}/builds", body)


def committed(app, version):
    return app.repository.commit(version, files={"delivery.yaml": app.spec()})


def finished(app, accepted):
    operation = app.api.wait(accepted.operation_id, OPERATION_SECONDS)
    return operation, app.api.deployment(accepted.deployment_id)


def test_it_is_made_deployed_and_serves(platform, app):
    build = reported(app, "1.0.0", committed(app, "1.0.0")[:12])
    assert (build["status"], build["artifact_digest"]) == ("success", None)
    operation, deployment = finished(app, app.api.deploy(build["id"]))
    assert (operation["status"], deployment["status"]) == ("completed", "success"), operation
    steps = {step["name"]: step["status"] for step in operation["steps"]}
    assert {name for name, status in steps.items() if status == "skipped"} == {"test"}
    assert app.service.version() == "1.0.0"
    made = app.api.build(build["id"])
    assert made["artifact_digest"].startswith("sha256:")
    assert made["artifact_size_bytes"] > 0
    assert made["tests_passed"] == 245
    log = app.api.raw("GET", f"/v1/operations/{deployment['operation_id']}/logs").text
    assert "built version 1.0.0" in log

    again, deployment = finished(app, app.api.deploy(build["id"], environment="staging"))
    assert (again["status"], [step["name"] for step in again["steps"]]) == ("completed", ["rollout"])
    staging = platform.service(app.api.environment(app.project["id"], "staging")["url"])
    assert staging.version() == "1.0.0"


@pytest.mark.deep
def test_two_deployments_at_once_have_one_artifact(platform, app, records):
    """Its branch is gone by now, as branches are once they are merged."""
    build = reported(app, "1.1.0", committed(app, "1.1.0"), branch="merged-and-deleted")
    begun = [app.api.deploy(build["id"], environment=name) for name in ("dev", "staging")]
    ended = [finished(app, one) for one in begun]
    assert [operation["status"] for operation, _ in ended] == ["completed", "completed"], ended
    digest = app.api.build(build["id"])["artifact_digest"]
    releases = records.all("SELECT artifact_digest FROM releases WHERE build_id = %s", build["id"])
    assert [row["artifact_digest"] for row in releases] == [digest, digest]
    assert app.service.version() == "1.1.0"


@pytest.mark.deep
def test_what_cannot_be_made_says_why_and_the_old_version_serves(app):
    before = app.service.version()
    build = reported(app, "2.0.0", "0123456789abcdef0123456789abcdef01234567")
    operation, deployment = finished(app, app.api.deploy(build["id"]))
    assert (operation["status"], deployment["status"]) == ("failed", "failed")
    error = operation["error"]
    assert (error["code"], facts(error)["cause"]) == ("ARTIFACT_UNAVAILABLE", "SOURCE_REF_NOT_FOUND")
    assert "0123456789abcdef0123456789abcdef01234567" in error["message"]
    assert deployment["error"]["code"] == "ARTIFACT_UNAVAILABLE"
    assert app.service.version() == before
    retried, _ = finished(app, app.api.retry(deployment["id"], "perhaps it was pushed"))
    assert retried["error"]["code"] == "ARTIFACT_UNAVAILABLE"


def test_one_whose_tests_failed_is_not_deployed(app):
    body = {"version_tag": "3.0.0", "git_commit_hash": "abc123d", "git_branch": "main", "tests_failed": 1}
    build = app.api.call("POST", f"/features/{app.feature['id']}/builds", body)
    with pytest.raises(ApiError, match="only a successful one") as caught:
        app.api.deploy(build["id"])
    assert (caught.value.status, caught.value.code) == (400, "INVALID_STATE")
