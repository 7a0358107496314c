"""Build and deploy: the promise of the 202, its rows, and the operation it becomes."""

import asyncio
from uuid import UUID

import pytest
from sqlalchemy import select, update

from contracts.operations import BuildAndDeployInput, OperationError, Progress, StepProgress
from domain.errors import ConflictError, DependencyError, ErrorCode
from domain.lifecycle import OperationKind, OperationStatus, StepName, StepStatus, Strategy
from domain.rollout_options import RolloutOptions
from reconcilers.decision_relay import DecisionRelay
from runtime.ids import now
from storage.engine import transaction
from storage.models import AuditEntry, OutboxEntry
from tests.api.conftest import make_world
from tests.support.facts import facts
from tests.support.reconciling import answered

BODY = {"git_branch": "main", "environment": "dev", "deployment_strategy": "blue_green"}


@pytest.fixture
def path(world):
    return f"/features/{world.feature['id']}/build-and-deploy"


def progress_of(operation_id: str, version: int, percent: int, status=OperationStatus.IN_PROGRESS, **more) -> Progress:
    steps = (StepProgress(name=StepName.SOURCE, status=StepStatus.COMPLETED, started_at=now()),)
    return Progress(
        operation_id=UUID(operation_id),
        kind=OperationKind.BUILD_AND_DEPLOY,
        status=status,
        version=version,
        progress_percent=percent,
        current_step="Running security scans...",
        steps=steps,
        started_at=now(),
        **more,
    )


async def test_the_202_of_the_contract_and_what_stands_behind_it(world, path, operations, rows, settings):
    response = await world.developer.post(path, {**BODY, "version_tag": "1.2.0", "git_commit_hash": "ABC123def456"})
    assert response.status_code == 202
    data = response.json()["data"]
    operation_id, deployment_id = data["operation_id"], data["resource_id"]
    assert data == {
        "operation_id": operation_id,
        "status": "pending",
        "resource_type": "deployment",
        "resource_id": deployment_id,
        "progress_url": f"/operations/{operation_id}",
        "poll_interval_seconds": 5,
    }
    assert response.headers["operation-location"] == f"{settings.base_url}/v1/operations/{operation_id}"
    assert response.headers["location"] == f"{settings.base_url}/v1/deployments/{deployment_id}"
    assert response.headers["retry-after"] == "5"

    async with transaction(rows) as session:
        entries = await session.scalars(select(OutboxEntry).where(OutboxEntry.resource_id == UUID(operation_id)))
        [entry] = entries.all()
    assert (entry.kind, entry.topic) == ("workflow_start", "build_and_deploy")
    order = BuildAndDeployInput.model_validate(entry.payload)
    assert order.place.host == "dev.shop.acme.localhost"
    assert (order.git_commit_hash, order.version_tag) == ("abc123def456", "1.2.0")
    assert operations.started == [(OperationKind.BUILD_AND_DEPLOY, entry.payload)]

    operation = (await world.developer.get(f"/operations/{operation_id}")).json()["data"]
    assert operation["resource_url"] == f"/deployments/{deployment_id}"
    assert operation["result_url"] is None
    assert [step["name"] for step in operation["steps"]] == list(StepName)
    assert {step["status"] for step in operation["steps"]} == {"pending"}
    deployment = (await world.developer.get(f"/deployments/{deployment_id}")).json()["data"]
    expected = {"status": "pending", "build_id": None, "environment": "dev", "deployment_strategy": "blue_green"}
    assert deployment.items() >= expected.items()
    echo = {"version_tag": "1.2.0", "git_branch": "main", "git_commit_hash": "abc123def456", "request_approval": False}
    assert deployment.items() >= echo.items()


async def test_in_a_suspended_organization_nothing_goes_live(platform, caller):
    stopped = await make_world(platform, caller, "stopped")
    changed = await platform.patch(f"/organizations/{stopped.org['id']}", {"status": "suspended"})
    assert changed.status_code == 200, changed.text
    path = f"/features/{stopped.feature['id']}/build-and-deploy"
    refused = await stopped.developer.post(path, {**BODY, "version_tag": "1.0.0"})
    assert refused.status_code == 403
    assert refused.json()["error"]["code"] == "ORGANIZATION_NOT_ACTIVE"
    assert "suspended" in refused.json()["error"]["message"]
    project = {"name": "More", "slug": "more", "repository_url": "https://git.example.com/acme/more"}
    assert (await stopped.developer.post(f"/organizations/{stopped.org['id']}/projects", project)).status_code == 403


async def test_temporal_being_away_does_not_break_the_promise(world, path, operations):
    operations.fault = DependencyError("away")
    response = await world.developer.post(path, {**BODY, "version_tag": "1.2.1"})
    assert response.status_code == 202
    assert operations.started == []


async def test_the_relay_is_woken(world, path, operations, rows):
    async with rows() as session:
        connection = await (await session.connection()).get_raw_connection()
        listener = connection.driver_connection
        await listener.execute("LISTEN outbox")
        await listener.commit()
        await world.developer.post(path, {**BODY, "version_tag": "1.2.2"})
        woken = [note async for note in listener.notifies(timeout=120, stop_after=1)]
        await listener.execute("UNLISTEN outbox")
        await listener.commit()
    assert [note.channel for note in woken] == ["outbox"]


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"version_tag": "1.2"}, "version_tag"),
        ({"version_tag": None}, "version_tag"),
        ({"git_branch": "--upload-pack=id"}, "git_branch"),
        ({"git_commit_hash": "HEAD"}, "git_commit_hash"),
        ({"environment": "moon"}, "environment"),
        ({"deployment_strategy": "yolo"}, "deployment_strategy"),
        ({"deployment_strategy": "canary"}, "canary_percentage"),
        ({"canary_percentage": 10}, "canary_percentage"),
        ({"deployment_strategy": "canary", "canary_percentage": 101}, "canary_percentage"),
        ({"unknown": 1}, "unknown"),
    ],
)
async def test_bad_requests_name_the_field(world, path, change, field):
    body = {name: value for name, value in {**BODY, "version_tag": "3.0.0", **change}.items() if value is not ...}
    response = await world.developer.post(path, body)
    assert response.status_code == 400
    assert [fault["field"] for fault in response.json()["error"]["details"]] == [field]


async def test_production_needs_permission_and_notes(world, path, operations):
    body = {**BODY, "version_tag": "4.0.0", "environment": "production"}
    denied = await world.developer.post(path, {**body, "approval_notes": "me"})
    assert denied.status_code == 403
    assert "deployments:approve" in denied.json()["error"]["message"]
    silent = await world.manager.post(path, {**body, "approval_notes": "  "})
    assert silent.json()["error"]["details"][0]["field"] == "approval_notes"
    assert (await world.manager.post(path, {**body, "approval_notes": "Approved"})).status_code == 202


async def test_a_dark_launch_and_an_overridden_freeze_reach_the_workflow(world, path, operations):
    dark = {"deployment_strategy": "canary", "canary_percentage": 0, "override_freeze": True}
    denied = await world.developer.post(path, {**BODY, "version_tag": "5.0.0", **dark})
    assert denied.status_code == 403
    accepted = await world.manager.made(path, {**BODY, "version_tag": "5.0.0", **dark})
    [(_, payload)] = operations.started
    order = BuildAndDeployInput.model_validate(payload)
    chosen = RolloutOptions(strategy=Strategy.CANARY, canary_percentage=0, override_freeze=True)
    assert order.options == chosen
    shown = (await world.developer.get(f"/deployments/{accepted['resource_id']}")).json()["data"]
    assert (shown["canary_percentage"], shown["override_freeze"]) == (0, True)


async def test_a_version_is_built_once(world, path, operations, build_of):
    await build_of(world, "6.0.0")
    built = await world.developer.post(path, {**BODY, "version_tag": "6.0.0"})
    assert (built.status_code, built.json()["error"]["code"]) == (409, "DUPLICATE_RESOURCE")
    answers = await asyncio.gather(*(world.developer.post(path, {**BODY, "version_tag": "6.0.1"}) for _ in range(5)))
    assert sorted(answer.status_code for answer in answers) == [202, 409, 409, 409, 409]


async def test_an_idempotency_key_makes_one_of_many(world, path, operations, rows):
    body, headers = {**BODY, "version_tag": "8.0.0"}, {"Idempotency-Key": "key-1"}
    first = await world.developer.post(path, body, headers=headers)
    again = await world.developer.post(path, body, headers={"Idempotency-Key": '"key-1"'})
    assert first.status_code == again.status_code == 202
    assert again.headers["idempotent-replayed"] == "true"
    assert again.headers["operation-location"] == first.headers["operation-location"]
    assert again.content == first.content
    assert len(operations.started) == 1
    other = await world.developer.post(path, {**body, "version_tag": "8.0.1"}, headers=headers)
    assert (other.status_code, other.json()["error"]["code"]) == (422, "IDEMPOTENCY_KEY_REUSED")
    assert (await world.manager.post(path, {**body, "version_tag": "8.0.2"}, headers=headers)).status_code == 202
    empty = await world.developer.post(path, body, headers={"Idempotency-Key": '""'})
    assert empty.status_code == 400


async def test_keys_used_at_the_same_time_do_it_once(world, path, operations):
    body, headers = {**BODY, "version_tag": "8.1.0"}, {"Idempotency-Key": "key-2"}
    answers = await asyncio.gather(*(world.developer.post(path, body, headers=headers) for _ in range(6)))
    kinds = {(answer.status_code, answer.json().get("error", {}).get("code")) for answer in answers}
    assert kinds <= {(202, None), (409, "IDEMPOTENCY_IN_PROGRESS")}
    assert len(operations.started) == 1


async def test_a_failed_request_does_not_keep_its_key(world, path, operations, platform):
    headers = {"Idempotency-Key": "key-3"}
    missing = path.replace(world.feature["id"], world.org["id"])
    assert (await world.developer.post(missing, {**BODY, "version_tag": "8.2.0"}, headers=headers)).status_code == 404
    assert (await world.developer.post(path, {**BODY, "version_tag": "8.2.0"}, headers=headers)).status_code == 202


async def test_progress_comes_from_the_workflow_and_never_falls(world, path, operations):
    accepted = await world.developer.made(path, {**BODY, "version_tag": "9.0.0"})
    url = accepted["progress_url"]
    operations.known[UUID(accepted["operation_id"])] = progress_of(accepted["operation_id"], 4, 75)
    running = (await world.developer.get(url)).json()["data"]
    expected = {"status": "in_progress", "progress_percent": 75, "current_step": "Running security scans..."}
    assert running.items() >= {**expected, "done": False, "eta_seconds": None}.items()
    operations.known.clear()
    unanswered = (await world.developer.get(url)).json()["data"]
    assert (unanswered["progress_percent"], unanswered["version"]) == (75, 4)
    operations.known[UUID(accepted["operation_id"])] = progress_of(accepted["operation_id"], 5, 60)
    assert (await world.developer.get(url)).json()["data"]["progress_percent"] == 75


async def test_a_completed_and_a_failed_operation(world, path, operations, build_of):
    made = await build_of(world, "9.1.0")
    done = (await world.developer.get(f"/operations/{made['operation_id']}?wait=30")).json()["data"]
    assert done.items() >= {"status": "completed", "progress_percent": 100, "done": True}.items()
    assert done["result_url"] == f"/deployments/{made['deployment_id']}"
    assert done["completed_at"].endswith("Z")
    accepted = await world.developer.made(path, {**BODY, "version_tag": "9.1.1"})
    error = OperationError(code="TESTS_FAILED", message="test_basket failed", details={"test": "test_basket"})
    failed = progress_of(accepted["operation_id"], 9, 40, OperationStatus.FAILED, error=error)
    operations.known[UUID(accepted["operation_id"])] = failed
    told = (await world.developer.get(accepted["progress_url"])).json()["data"]
    assert (told["error"]["code"], told["error"]["message"]) == ("TESTS_FAILED", "test_basket failed")
    assert facts(told["error"]) == {"test": "test_basket"}
    assert (told["status"], told["done"], told["result_url"]) == ("failed", True, None)


async def test_long_poll_answers_when_something_changes(world, path, operations):
    accepted = await world.developer.made(path, {**BODY, "version_tag": "9.2.0"})
    waiting = asyncio.create_task(
        world.developer.get(accepted["progress_url"], headers={"Prefer": "respond-async, wait=60"})
    )
    await asyncio.wait_for(operations.asked.wait(), 50)
    operations.known[UUID(accepted["operation_id"])] = progress_of(accepted["operation_id"], 7, 33)
    answer = (await asyncio.wait_for(waiting, 50)).json()["data"]
    assert answer["progress_percent"] == 33
    quiet = await world.developer.get(accepted["progress_url"] + "?wait=1")
    assert quiet.json()["data"]["version"] == 7
    assert (await world.developer.get(accepted["progress_url"] + "?wait=61")).status_code == 400


async def test_events_follow_an_operation_to_its_end(world, path, operations, build_of):
    made = await build_of(world, "9.3.0")
    response = await world.developer.get(f"/operations/{made['operation_id']}/events")
    assert response.headers["content-type"].startswith("text/event-stream")
    assert response.text.startswith("retry: 2000\n\nid: 0\nevent: progress\ndata: {")
    assert '"status":"completed"' in response.text


async def test_cancel_tells_the_workflow_and_shows_it(world, path, operations, build_of, rows):
    accepted = await world.developer.made(path, {**BODY, "version_tag": "9.4.0"})
    url = f"{accepted['progress_url']}/cancel"
    operations.fault = ConflictError("past its final switch", code=ErrorCode.INVALID_STATE)
    assert (await world.developer.post(url)).json()["error"]["code"] == "INVALID_STATE"
    assert (await world.developer.get(accepted["progress_url"])).json()["data"]["cancel_requested_at"] is None
    operations.fault = None
    response = await world.developer.post(url, {"reason": "wrong branch"})
    assert response.status_code == 202
    assert response.json()["data"]["status"] == "cancelling"
    [(stopped, request)] = operations.stopped
    assert (str(stopped), request.reason) == (accepted["operation_id"], "wrong branch")
    assert (await world.developer.post(url)).status_code == 202
    assert len(operations.stopped) == 1
    async with transaction(rows) as session:
        cancels = select(AuditEntry).where(
            AuditEntry.action == "deployment.cancel", AuditEntry.reason == "wrong branch"
        )
        [entry] = (await session.scalars(cancels)).all()
    assert (entry.actor, entry.reason) == (world.developer.subject, "wrong branch")
    assert entry.details["operation_id"] == accepted["operation_id"]
    made = await build_of(world, "9.4.1")
    late = await world.developer.post(f"/operations/{made['operation_id']}/cancel")
    assert (late.status_code, late.json()["error"]["code"]) == (400, "INVALID_STATE")


async def test_a_cancel_is_kept_while_the_engine_is_down(*, world, path, operations, rows):
    accepted = await world.developer.made(path, {**BODY, "version_tag": "9.4.2"})
    url = f"{accepted['progress_url']}/cancel"
    operations.fault = DependencyError("Temporal does not answer")
    response = await world.developer.post(url, {"reason": "away"})
    assert (response.status_code, response.json()["data"]["status"]) == (202, "cancelling")
    assert operations.stopped == []
    operations.fault = None
    async with transaction(rows) as session:
        await session.execute(update(OutboxEntry).where(OutboxEntry.kind == "decision").values(due_at=now()))
    await answered(DecisionRelay(rows, operations))
    [(stopped, request)] = operations.stopped
    assert (str(stopped), request.reason) == (accepted["operation_id"], "away")


async def test_operations_are_listed_and_filtered(world, operations, build_of):
    made = await build_of(world, "9.5.0")
    found = (await world.developer.get(f"/operations?status=completed&project_id={world.project['id']}")).json()
    assert found["data"][0]["operation_id"] == made["operation_id"]
    assert {row["status"] for row in found["data"]} == {"completed"}
    assert (await world.developer.get("/operations?project_id=x")).status_code == 400
