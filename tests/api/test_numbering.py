"""Build numbers of a project: without gaps, whoever writes the builds."""

import asyncio
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import select

from activities.build_records import BuildRecordActivities
from contracts.builds import RecordBuild, RecordBuildFailure
from domain.delivery_spec import DeliverySpec, ServiceSpec
from runtime.ids import now
from storage.engine import transaction
from storage.models import Build, Event
from storage.repositories.build_records import BuildRecordRepository
from storage.repositories.projections import ProjectionRepository
from tests.api.conftest import World, make_world

SPEC = DeliverySpec(service=ServiceSpec(command="serve"))
ARTIFACT = {"digest": "sha256:" + "0" * 64, "size_bytes": 1, "file_count": 1}
SUCCESSES, FAILURES, REPORTS = 3, 2, 5


@pytest.fixture
async def fresh(platform, caller, request):
    return await make_world(platform, caller, request.node.name.translate(str.maketrans("_[", "--", "]")))


async def accepted(world: World, version: str) -> dict[str, Any]:
    """What the worker is told of a build-and-deploy that the API took."""
    body = {"version_tag": version, "git_branch": "main", "environment": "dev"}
    answer = await world.developer.made(f"/features/{world.feature['id']}/build-and-deploy", body)
    return {
        "operation_id": answer["operation_id"],
        "deployment_id": answer["resource_id"],
        "organization_id": world.org["id"],
        "project_id": world.project["id"],
        "feature_id": world.feature["id"],
        "version_tag": version,
        "commit": "abc123def456",
        "branch": "main",
    }


async def report(world: World, version: str) -> int:
    body = {"version_tag": version, "git_branch": "main", "git_commit_hash": "abc123def456"}
    made = await world.developer.made(f"/features/{world.feature['id']}/builds", body)
    number: int = made["build_number"]
    return number


async def test_made_here_and_reported_at_once(fresh, operations, rows):
    """By the worker's own activities, good and failed builds, one of them retried; and by the API."""
    worker = BuildRecordActivities(rows)
    asked = [await accepted(fresh, f"2.0.{number}") for number in range(SUCCESSES + FAILURES)]
    good = [RecordBuild(**facts, spec=SPEC, artifact=ARTIFACT) for facts in asked[:SUCCESSES]]
    bad = [RecordBuildFailure(**facts, message="exit code 1") for facts in asked[SUCCESSES:]]
    written = asyncio.gather(*map(worker.record, [*good, good[0]]), *map(worker.record_failure, bad))
    reported = asyncio.gather(*(report(fresh, f"1.0.{number}") for number in range(REPORTS)))
    numbers = {one.build_number for one in await written} | set(await reported)
    total = SUCCESSES + FAILURES + REPORTS
    assert numbers == set(range(1, total + 1))
    async with transaction(rows) as session:
        found = await session.scalars(select(Build.build_number).where(Build.project_id == fresh.project["id"]))
        assert sorted(found) == sorted(numbers)
    assert await report(fresh, "3.0.0") == total + 1


async def begin(rows, facts: dict[str, Any]) -> None:
    async with transaction(rows) as session:
        builds = BuildRecordRepository(session)
        await builds.begin(UUID(facts["operation_id"]), commit=facts["commit"], branch=facts["branch"])


async def test_a_build_that_runs_has_its_row_and_its_number_from_the_beginning(fresh, operations, rows):
    worker, path = BuildRecordActivities(rows), f"/features/{fresh.feature['id']}/builds"
    good, bad = await accepted(fresh, "1.0.0"), await accepted(fresh, "1.0.1")
    for facts in (good, bad, good):  # the last one: another worker fetches again
        await begin(rows, facts)
    running = (await fresh.developer.get(f"{path}?status=running")).json()["data"]
    assert sorted(build["build_number"] for build in running) == [1, 2]
    assert {build["completed_at"] for build in running} == {None}
    taken = await fresh.developer.post(
        path, {"version_tag": "1.0.0", "git_branch": "main", "git_commit_hash": "abc1234"}
    )
    assert taken.status_code == 409
    assert "is being built by operation" in taken.json()["error"]["message"]
    shown = (await fresh.developer.get(f"/deployments/{good['deployment_id']}")).json()["data"]
    assert shown["build_id"] is None, "until it is built"
    refused = await fresh.developer.post(f"/builds/{running[0]['id']}/deploy", {"environment": "dev"})
    assert (refused.status_code, refused.json()["error"]["code"]) == (400, "INVALID_STATE")
    made = await worker.record(RecordBuild(**good, spec=SPEC, artifact=ARTIFACT))
    failed = await worker.record_failure(RecordBuildFailure(**bad, message="exit code 1"))
    assert (made.build_number, failed.build_number) == (1, 2)
    assert {str(made.build_id), str(failed.build_id)} == {build["id"] for build in running}
    ended = [(await fresh.developer.get(f"/builds/{each.build_id}")).json()["data"] for each in (made, failed)]
    assert [build["status"] for build in ended] == ["success", "failed"]
    assert None not in {build["duration_seconds"] for build in ended}
    async with transaction(rows) as session:
        events = await session.scalars(
            select(Event.type).where(Event.resource_id.in_([made.build_id, failed.build_id]))
        )
        assert list(events) == ["build.completed"] * 2


@pytest.mark.parametrize(("ended", "expected"), [("cancelled", "cancelled"), ("failed", "failed")])
async def test_a_build_ends_with_its_operation_at_the_latest(fresh, operations, rows, ended, expected):
    facts = await accepted(fresh, "1.0.0")
    await begin(rows, facts)
    async with transaction(rows) as session:
        told = {"status": ended, "completed_at": now()}
        assert await ProjectionRepository(session).operation(UUID(facts["operation_id"]), 7, told)
    [build] = (await fresh.developer.get(f"/features/{fresh.feature['id']}/builds")).json()["data"]
    assert build["status"] == expected
    await begin(rows, facts)  # somebody is late
    again = await accepted(fresh, "1.0.0")
    await begin(rows, again)
    builds = (await fresh.developer.get(f"/features/{fresh.feature['id']}/builds")).json()["data"]
    assert [(each["build_number"], each["status"]) for each in builds] == [(2, "running"), (1, expected)]
