"""Events and outcomes that the worker writes: with the change, once however often an activity is tried."""

from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import select, text, update
from temporalio.testing import ActivityEnvironment

from activities import projections
from activities.build_records import BuildRecordActivities
from activities.projections import ProjectionActivities
from contracts.builds import PackagedArtifact, RecordBuild, RecordBuildFailure, TestOutcome
from contracts.operations import DeploymentProgress, OperationError, Progress, RecordProgress
from domain.delivery_spec import DeliverySpec
from domain.errors import DependencyError
from domain.events import event_id
from reconcilers.orphaned_operations import LOST
from runtime.ids import new_id, now
from storage import engine
from storage.engine import transaction
from storage.models import AuditEntry, Build, Deployment, Event, Operation, Project
from storage.repositories.build_records import BuildRecordRepository
from storage.repositories.projections import ProjectionRepository

BEGAN = now() - timedelta(minutes=1)


@pytest.fixture
async def pending(history, sessions):
    """A deployment that has just been asked for: its id and its operation's."""
    found = await history(2)
    deployment_id = found.releases[0]
    async with transaction(sessions) as session:
        deployment = await session.get_one(Deployment, deployment_id)
        deployment.status = "pending"
        (await session.get_one(Project, found.project_id)).last_build_number = len(found.builds)
        return deployment_id, deployment.operation_id


@pytest.fixture
def record(sessions, pending):
    """Runs the activity as often as is said, with a progress of this version."""

    async def run(status: str, *, version: int, times: int = 2, ended: str | None = None, **view: Any) -> None:
        deployment_id, operation_id = pending
        progress = Progress(
            operation_id=operation_id,
            kind="deploy",
            status=ended or "in_progress",
            version=version,
            started_at=BEGAN,
            completed_at=now() if ended else None,
        )
        told = DeploymentProgress(deployment_id=deployment_id, status=status, **view)
        request = RecordProgress(progress=progress, deployment=told)
        for _ in range(times):
            await ActivityEnvironment().run(ProjectionActivities(sessions).record_progress, request)

    return run


@pytest.fixture
def events_of(sessions):
    """The events of a resource in their order."""

    async def read(resource_id: UUID) -> list[Event]:
        async with transaction(sessions) as session:
            found = select(Event).where(Event.resource_id == resource_id).order_by(Event.sequence)
            return list(await session.scalars(found))

    return read


@pytest.fixture
def outcomes(sessions):
    async def read(resource_id: UUID) -> list[AuditEntry]:
        async with transaction(sessions) as session:
            found = select(AuditEntry).where(AuditEntry.resource_id == resource_id).order_by(AuditEntry.id)
            return list(await session.scalars(found))

    return read


@pytest.mark.parametrize(("status", "health"), [("failed", None), ("rolled_back", "unhealthy"), ("failed", "degraded")])
async def test_a_failed_deployment_has_a_beginning_a_duration_and_a_health(
    *, record, pending, events_of, sessions, status, health
):
    """Also one whose build failed, so that its rollout never began."""
    deployment_id, _ = pending
    error = OperationError(code="BUILD_FAILED", message="make ended with 3")
    await record(status, version=1, ended="failed", error=error, health=health)
    async with transaction(sessions) as session:
        row = await session.get_one(Deployment, deployment_id)
    assert row.started_at == BEGAN
    assert row.health_check_status == (health or "unhealthy")
    [event] = [one for one in await events_of(deployment_id) if one.type == "deployment.completed"]
    assert event.payload["deployment"]["duration_seconds"] >= 60
    assert event.payload["deployment"]["health_check_status"] == (health or "unhealthy")


async def test_a_cancelled_deployment_that_never_began_has_no_beginning(record, pending, sessions):
    deployment_id, _ = pending
    await record("cancelled", version=1, ended="cancelled")
    async with transaction(sessions) as session:
        row = await session.get_one(Deployment, deployment_id)
    assert (row.started_at, row.health_check_status) == (None, None)


async def test_an_executed_build_has_a_beginning_and_a_duration(sessions, history):
    """It begins with the operation's first step, not with the request."""
    found = await history(1)
    async with transaction(sessions) as session:
        deployment = await session.get_one(Deployment, found.releases[0])
        operation = await session.get_one(Operation, deployment.operation_id)
        later = {"name": "build", "status": "in_progress", "started_at": (BEGAN + timedelta(seconds=9)).isoformat()}
        first = {"name": "source", "status": "completed", "started_at": BEGAN.isoformat()}
        operation.steps = [first, later, {"name": "test", "status": "pending", "started_at": None}]
        operation.started_at = BEGAN - timedelta(seconds=5)
        project = await session.get_one(Project, found.project_id)
        project.last_build_number = len(found.builds)
        known = await session.get_one(Build, found.builds[0])
        values = {"organization_id": known.organization_id, "project_id": known.project_id}
        values |= {"feature_id": known.feature_id, "provenance": "executed", "git_branch": "main"}
        values |= {"version_tag": "9.0.0", "git_commit_hash": "0" * 40, "status": "success"}
        build = await BuildRecordRepository(session).record(new_id(), operation.id, values)
        elsewhere = {**values, "version_tag": "9.0.1", "provenance": "reported"}
        reported = await BuildRecordRepository(session).record(new_id(), None, elsewhere)
    assert build.started_at == BEGAN
    assert (build.completed_at - build.started_at).total_seconds() >= 60
    assert reported.started_at is None


async def test_a_deployment_has_events_from_its_beginning_to_its_end(record, pending, events_of, outcomes):
    deployment_id, operation_id = pending
    await record("awaiting_approval", version=1)
    await record("in_progress", version=2)
    await record("paused", version=3)
    await record("in_progress", version=4)
    await record("success", version=5, ended="completed", health="healthy")
    seen = await events_of(deployment_id)
    kinds = ["deployment.approval_requested", "deployment.started", "deployment.completed"]
    assert [event.type for event in seen] == kinds
    statuses = ["awaiting_approval", "in_progress", "success"]
    assert [event.payload["deployment"]["status"] for event in seen] == statuses
    assert [event.id for event in seen] == sorted(event.id for event in seen)
    last = seen[-1].payload["deployment"]
    assert (last["health_check_status"], last["id"]) == ("healthy", str(deployment_id))
    assert last["duration_seconds"] is not None
    [ended] = await events_of(operation_id)
    assert (ended.type, ended.payload["operation"]["status"]) == ("operation.completed", "completed")
    [entry] = await outcomes(deployment_id)
    assert (entry.action, entry.actor) == ("deployment.succeeded", "system")
    assert entry.credential == f"workflow:{operation_id}"
    assert entry.changes == {"status": {"from": "in_progress", "to": "success"}}


async def test_a_failure_says_why(record, pending, events_of, outcomes):
    error = OperationError(code="INSTANCE_EXITED", message="it ended by itself")
    await record("failed", version=1, ended="failed", error=error)
    [event] = await events_of(pending[0])
    assert event.payload["deployment"]["error"]["code"] == "INSTANCE_EXITED"
    [entry] = await outcomes(pending[0])
    assert (entry.action, entry.reason, entry.details["code"]) == (
        "deployment.failed",
        "it ended by itself",
        "INSTANCE_EXITED",
    )


async def test_an_end_whose_message_cannot_be_stored_has_an_event_with_a_mended_one(record, pending, events_of):
    error = OperationError.model_construct(code="BUILD_FAILED", message="bad\0byte", details={"log_tail": "a\0\ud800"})
    await record("failed", version=1, ended="failed", error=error)
    [event] = await events_of(pending[0])
    assert event.payload["deployment"]["error"]["code"] == "BUILD_FAILED"
    assert event.payload["deployment"]["error"]["message"] == "bad\ufffdbyte"


async def test_a_row_that_the_database_refuses_is_written_with_plain_words(record, pending, events_of, monkeypatch):
    """Whatever comes past the mending: the operation ends as what it was."""
    monkeypatch.setattr(projections, "storable_value", lambda value: value)
    monkeypatch.setattr(engine, "storable_value", lambda value: value)
    error = OperationError(code="BUILD_FAILED", message="bad\0byte", details={"log_tail": "a\0"})
    await record("failed", version=1, ended="failed", error=error)
    [event] = await events_of(pending[0])
    assert event.payload["deployment"]["error"]["code"] == "BUILD_FAILED"
    assert event.payload["deployment"]["error"]["message"] == "bad?byte"


async def test_what_is_not_committed_has_no_event(sessions, pending, events_of, outcomes):
    deployment_id, operation_id = pending

    async def die_before_commit() -> None:
        async with transaction(sessions) as session:
            await ProjectionRepository(session).lost(operation_id, LOST)
            seen = await session.scalars(select(Event.id).where(Event.resource_id == deployment_id))
            assert len(seen.all()) == 1
            await session.execute(text("SELECT pg_terminate_backend(pg_backend_pid())"))

    with pytest.raises(DependencyError):
        await die_before_commit()
    assert await events_of(deployment_id) == await events_of(operation_id) == await outcomes(deployment_id) == []


async def test_a_late_writer_makes_no_event(record, pending, events_of):
    await record(
        "success", version=5, ended="completed"
    )  # an end has its event though no state on the way was recorded
    before = [(event.type, event.payload["deployment"]["status"]) for event in await events_of(pending[0])]
    assert before == [("deployment.completed", "success")]
    await record("in_progress", version=6)
    assert len(await events_of(pending[0])) == 1


async def test_a_lost_workflow_is_an_end_too(sessions, pending, events_of, outcomes):
    deployment_id, operation_id = pending
    for _ in range(2):
        async with transaction(sessions) as session:
            await ProjectionRepository(session).lost(operation_id, LOST)
    [event] = await events_of(operation_id)
    assert event.payload["operation"]["error"]["code"] == "ORCHESTRATION_LOST"
    [event] = await events_of(deployment_id)
    assert event.type == "deployment.completed"
    assert len(await outcomes(deployment_id)) == 1


@pytest.fixture
async def order(sessions, pending) -> dict[str, Any]:
    """What the workflow says of a build."""
    async with transaction(sessions) as session:
        deployment = await session.get_one(Deployment, pending[0])
        build = await BuildRecordRepository(session).get(deployment.build_id)
        return {
            "operation_id": pending[1],
            "organization_id": deployment.organization_id,
            "project_id": deployment.project_id,
            "feature_id": build.feature_id,
            "deployment_id": deployment.id,
            "version_tag": "7.0.0",
            "commit": "0" * 40,
            "branch": "main",
        }


async def test_a_build_and_its_tests_have_one_event_each(sessions, order, events_of):
    request = RecordBuild(
        **order,
        spec=DeliverySpec(),
        artifact=PackagedArtifact(digest="sha256:00", size_bytes=5, file_count=1),
        tests=TestOutcome(passed=3, failed=0, skipped=1, coverage_percent=88.5, duration_ms=1200),
    )
    made = [await ActivityEnvironment().run(BuildRecordActivities(sessions).record, request) for _ in range(2)]
    tests, build = await events_of(made[0].build_id)
    assert made[0] == made[1]
    assert (tests.type, build.type) == ("test.completed", "build.completed")
    result = tests.payload["test_result"]
    assert (result["status"], result["assertions_run"], result["code_coverage_percent"]) == ("passed", 3, 88.5)
    assert result["build_id"] == str(made[0].build_id)
    shown = build.payload["build"]
    assert (shown["status"], shown["tests_run"], shown["version_tag"]) == ("success", 3, "7.0.0")


async def test_a_failed_build_has_an_event_too(sessions, order, events_of):
    request = RecordBuildFailure(**order, message="it does not compile")
    made = await ActivityEnvironment().run(BuildRecordActivities(sessions).record_failure, request)
    [event] = await events_of(made.build_id)
    assert (event.type, event.payload["build"]["status"]) == ("build.completed", "failed")


async def test_an_event_is_never_as_large_as_it_could_be(sessions, pending, record, events_of):
    async with transaction(sessions) as session:
        where = update(Deployment).where(Deployment.id == pending[0])
        await session.execute(where.values(approval_notes="ä" * 20_000, analysis={"text": "x" * 90_000}))
        await session.execute(update(Operation).where(Operation.id == pending[1]).values(version=0))
    await record("in_progress", version=1)
    [event] = await events_of(pending[0])
    shown = event.payload["deployment"]
    assert shown["truncated"] == ["analysis"]
    assert (shown["analysis"], len(shown["approval_notes"])) == (None, 20_000)


def test_ids_are_the_same_of_the_same_and_sort_by_time():
    resource = new_id()
    ids = [event_id(BEGAN + timedelta(seconds=second), resource, "started") for second in range(3)]
    assert ids == sorted(ids)
    assert ids[0] == event_id(BEGAN, resource, "started") != event_id(BEGAN, resource, "completed")
    assert (ids[0].version, ids[0].variant) == (8, "specified in RFC 4122")
