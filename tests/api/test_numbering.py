"""Build numbers of a project: without gaps, whoever writes the builds."""

import asyncio
from typing import Any

import pytest
from sqlalchemy import select

from activities.build_records import BuildRecordActivities
from contracts.builds import RecordBuild, RecordBuildFailure
from domain.delivery_spec import DeliverySpec, ServiceSpec
from storage.engine import transaction
from storage.models import Build
from tests.api.conftest import World, make_world

SPEC = DeliverySpec(service=ServiceSpec(command="serve"))
ARTIFACT = {"digest": "sha256:" + "0" * 64, "size_bytes": 1, "file_count": 1}
SUCCESSES, FAILURES, REPORTS = 3, 2, 5


@pytest.fixture
async def fresh(platform, caller, request):
    return await make_world(platform, caller, request.node.name.replace("_", "-"))


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
