"""Builds that exist are deployed, retried and promoted again on the real stack."""

import asyncio
import time

import pytest
from temporalio.client import Client, WorkflowExecutionStatus

from examples.client import ApiError
from tests.support.load_process import load_on
from tests.support.platform import OPERATION_SECONDS
from tests.support.services import until

pytestmark = [pytest.mark.e2e, pytest.mark.deep, pytest.mark.timeout(400)]

RPS = 100
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
    until(lambda: app.api.deployment(deployment_id)["analysis"] is not None, "an analysis at 50 %", 180)
    app.api.call("POST", f"/deployments/{deployment_id}/abort", {"reason": "not today"})
    assert app.api.wait(begun.accepted.operation_id, 180)["status"] == "cancelled"
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


@pytest.mark.deep
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


@pytest.mark.deep
def test_a_retry_builds_the_commit_that_failed_also_when_its_branch_is_gone(again):
    again.repository.git("checkout", "--quiet", "-b", "fleeting")
    first = again.ship(spec={"build": {"steps": ["test -f repaired"]}}, git_branch="fleeting")
    assert first.error["code"] == "BUILD_FAILED"
    again.repository.commit("9.9.9", files={"repaired": "yes"})  # the branch has moved on
    again.repository.git("checkout", "--quiet", "main")
    for branch in ("moved on", "deleted"):
        if branch == "deleted":
            again.repository.git("branch", "-D", "fleeting")
        operation, deployment = finished(again, again.api.retry(first.deployment["id"], f"the branch is {branch}"))
        assert operation["error"]["code"] == "BUILD_FAILED", operation
        assert deployment["git_commit_hash"] == first.commit
    moved = again.begin(git_branch="fleeting", git_commit_hash=first.commit, spec={"build": {"steps": ["true"]}})
    assert again.api.wait(moved.accepted.operation_id, OPERATION_SECONDS)["error"]["code"] == "BUILD_FAILED"


@pytest.mark.deep
def test_an_old_version_inside_its_delay_is_back_at_once_and_outside_of_it_is_judged(platform, records):
    """Scenario 5."""
    app = platform.app("window")
    kept = {"rollout": {"scale_down_delay": 60, "verify_seconds": 0.5}}
    first = app.ship_good(spec=kept)
    second = app.ship_good(spec=kept)
    canary = {"deployment_strategy": "canary", "canary_percentage": 50}
    with load_on(app.service, rps=100) as load:
        back = app.api.deploy(first.deployment["build_id"], **canary)
        assert app.api.wait(back.operation_id, 180)["status"] == "completed"
        assert app.api.deployment(back.deployment_id)["analysis"] is None, "inside: no analysis"
        assert app.service.version() == first.version
        summary = load.stop()
    assert summary["failures"] == 0, summary["examples"]
    # What was replaced is kept in its turn, and a rollback of the returned version goes there.
    rolled_back = app.api.rollback(back.deployment_id, "the other way round")
    assert rolled_back["rolled_back_to_build_id"] == second.deployment["build_id"]
    assert app.service.version() == second.version

    until(lambda: not _runs(records, first), "the end of the first version", 180)
    judged = {"duration": 30, "min_requests": 30, "compare": ["errors"], "min_effect": 4, "pass_early": True}
    third = app.ship_good(spec={**kept, "analysis": judged})
    fourth = app.ship_good(spec={"rollout": {"scale_down_delay": 0, "verify_seconds": 0.5}})
    until(lambda: not _runs(records, third), "the end of the third version", 180)
    with load_on(app.service, rps=200):
        again = app.api.deploy(third.deployment["build_id"], **canary)
        assert app.api.wait(again.operation_id, 180)["status"] == "completed"
    assert app.api.deployment(again.deployment_id)["analysis"]["verdict"] == "pass", "outside: it is judged"
    assert app.service.version() == third.version != fourth.version


def _runs(records, shipped) -> bool:
    return bool(records.all("SELECT id FROM instances WHERE release_id = %s", shipped.deployment["id"]))


async def test_a_start_delivered_twice_is_one_run_and_a_finished_one_stays_finished(platform, records):
    """Scenario 12."""
    app = platform.app("twice")
    shipped = app.ship_good()
    operation_id = shipped.operation["operation_id"]
    workflow_id = records.workflow_of(operation_id)
    again = "UPDATE outbox SET done_at = NULL, due_at = now() WHERE resource_id = %s RETURNING id"
    assert len(records.all(again, operation_id)) == 1
    until(lambda: records.one("SELECT done_at FROM outbox WHERE resource_id = %s", operation_id)["done_at"], "a relay")
    client = await Client.connect(platform.stack.addresses["temporal"])
    assert (
        await client.get_workflow_handle(workflow_id).result() is not None
    )  # its row is written a moment before its end
    deadline = time.monotonic() + 120
    while (found := await _statuses(client, workflow_id)) != [WorkflowExecutionStatus.COMPLETED]:
        assert time.monotonic() < deadline, found  # Temporal's list follows a moment later
        await asyncio.sleep(0.2)
    assert app.api.operation(operation_id)["status"] == "completed"
    assert len(records.all("SELECT id FROM releases WHERE deployment_id = %s", shipped.deployment["id"])) == 1


async def _statuses(client: Client, workflow_id: str) -> list[WorkflowExecutionStatus | None]:
    return [run.status async for run in client.list_workflows(f"WorkflowId = '{workflow_id}'")]
