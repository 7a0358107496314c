"""Builds made elsewhere: reported, read, listed, deployed."""

import asyncio
import json
from uuid import UUID

import pytest
from sqlalchemy import select, update

from contracts.operations import BuildSource, DeployInput
from domain.lifecycle import OperationKind, StepName
from domain.permissions import Role
from runtime.ids import new_id
from storage.engine import transaction
from storage.models import Build, Project
from tests.api.conftest import make_world
from tests.support.facts import facts

# The contract's own example.
EXAMPLE = {
    "version_tag": "1.2.0",
    "git_commit_hash": "abc123def456",
    "git_branch": "main",
    "docker_image_url": "registry.example.com/project:1.2.0",
    "tests_passed": 245,
    "tests_failed": 0,
    "code_coverage_percent": 88.5,
    "security_scan_status": "passed",
}
LEAST = {"version_tag": "1.0.0", "git_commit_hash": "abc123def456", "git_branch": "main"}
DEV = {"environment": "dev"}


@pytest.fixture
async def fresh(platform, caller, request):
    slug = request.node.name.translate(str.maketrans("_[].", "----")).lower()
    return await make_world(platform, caller, slug[:200].strip("-"))


def builds(world) -> str:
    return f"/features/{world.feature['id']}/builds"


async def test_the_201_of_the_contract(fresh, settings):
    response = await fresh.developer.post(builds(fresh), EXAMPLE)
    assert response.status_code == 201, response.text
    data = response.json()["data"]
    expected = {
        **EXAMPLE,
        "feature_id": fresh.feature["id"],
        "project_id": fresh.project["id"],
        "build_number": 1,
        "status": "success",
        "provenance": "reported",
        "tests_run": 245,
        "operation_id": None,
        "artifact_digest": None,
        "docker_image_size_bytes": None,
        "vulnerabilities_critical": None,
        "started_at": None,
        "duration_seconds": None,
    }
    assert data.items() >= expected.items()
    assert data["completed_at"] == data["created_at"]
    assert response.headers["location"] == f"{settings.base_url}/v1/builds/{data['id']}"
    assert (await fresh.developer.get(f"/builds/{data['id']}")).json()["data"] == data
    logs = await fresh.developer.get(f"/builds/{data['id']}/logs")
    assert (logs.status_code, logs.json()["error"]["code"]) == (404, "RESOURCE_NOT_FOUND")


async def test_what_was_not_measured_is_null(fresh):
    data = await fresh.developer.made(builds(fresh), LEAST)
    unknown = ("tests_run", "tests_passed", "tests_failed", "code_coverage_percent", "security_scan_status")
    assert [data[name] for name in unknown] == [None] * 5
    assert data["status"] == "success"


@pytest.mark.parametrize(
    ("facts", "status"),
    [
        ({"tests_failed": 1}, "failed"),
        ({"tests_passed": 5, "tests_failed": 2}, "failed"),
        ({"security_scan_status": "failed"}, "failed"),
        ({"security_scan_status": "warnings"}, "success"),
        ({"tests_passed": 0, "tests_failed": 0, "code_coverage_percent": 0}, "success"),
        ({"code_coverage_percent": 100, "security_scan_status": None}, "success"),
    ],
)
async def test_the_status_follows_from_tests_and_scan(fresh, facts, status):
    data = await fresh.developer.made(builds(fresh), {**LEAST, **facts})
    assert data["status"] == status
    if "tests_passed" in facts:
        assert data["tests_run"] == facts["tests_passed"] + facts["tests_failed"]
    refused = await fresh.developer.post(f"/builds/{data['id']}/deploy", DEV)
    assert refused.status_code == (400 if status == "failed" else 201)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"version_tag": "v1"}, "version_tag"),
        ({"version_tag": "1.2"}, "version_tag"),
        ({"version_tag": ...}, "version_tag"),
        ({"git_commit_hash": "xyz"}, "git_commit_hash"),
        ({"git_commit_hash": "--upload-pack=x"}, "git_commit_hash"),
        ({"git_commit_hash": ...}, "git_commit_hash"),
        ({"git_branch": "a..b"}, "git_branch"),
        ({"git_branch": ...}, "git_branch"),
        ({"docker_image_url": "https://example.com/a"}, "docker_image_url"),
        ({"docker_image_url": ""}, "docker_image_url"),
        ({"tests_passed": -1}, "tests_passed"),
        ({"tests_passed": 2**31}, "tests_passed"),
        ({"tests_failed": 1.5}, "tests_failed"),
        ({"tests_failed": "1"}, "tests_failed"),
        ({"tests_failed": True}, "tests_failed"),
        ({"code_coverage_percent": 100.1}, "code_coverage_percent"),
        ({"code_coverage_percent": -0.1}, "code_coverage_percent"),
        ({"code_coverage_percent": "88.5"}, "code_coverage_percent"),
        ({"security_scan_status": "fine"}, "security_scan_status"),
        ({"status": "success"}, "status"),
    ],
)
async def test_bad_requests_name_the_field(world, change, field):
    body = {name: value for name, value in {**EXAMPLE, **change}.items() if value is not ...}
    response = await world.developer.post(builds(world), body)
    assert (response.status_code, response.json()["error"]["code"]) == (400, "VALIDATION_ERROR")
    assert [fault["field"] for fault in response.json()["error"]["details"]] == [field]


async def test_coverage_that_is_no_number(world):
    headers = {"Content-Type": "application/json"}
    for text in ("NaN", "Infinity"):
        body = json.dumps(EXAMPLE).replace("88.5", text)
        response = await world.developer.http.post(builds(world), content=body, headers=headers)
        assert (response.status_code, response.json()["error"]["code"]) == (400, "VALIDATION_ERROR")


async def test_a_version_tag_twice_is_a_409_naming_the_build(fresh):
    made = await fresh.developer.made(builds(fresh), LEAST)
    feature = await fresh.developer.made(
        f"/requirements/{fresh.requirement['id']}/features", {"name": "Other", "description": "of the same project"}
    )
    for path in (builds(fresh), f"/features/{feature['id']}/builds"):
        for told in ({}, {"tests_failed": 1}):
            response = await fresh.developer.post(path, {**LEAST, **told})
            error = response.json()["error"]
            assert (response.status_code, error["code"]) == (409, "DUPLICATE_RESOURCE")
            assert facts(error) == {"build_id": made["id"]}
    built = await fresh.developer.post(
        f"/features/{fresh.feature['id']}/build-and-deploy",
        {"version_tag": "1.0.0", "git_branch": "main", "environment": "dev"},
    )
    assert built.status_code == 409


async def test_a_failed_build_does_not_hold_its_tag(fresh):
    await fresh.developer.made(builds(fresh), {**LEAST, "tests_failed": 1})
    again = await fresh.developer.made(builds(fresh), LEAST)
    assert (again["build_number"], again["status"]) == (2, "success")


async def test_a_version_that_is_being_built_is_taken(fresh, operations):
    body = {"version_tag": "1.0.0", "git_branch": "main", "environment": "dev"}
    accepted = await fresh.developer.made(f"/features/{fresh.feature['id']}/build-and-deploy", body)
    response = await fresh.developer.post(builds(fresh), LEAST)
    assert (response.status_code, response.json()["error"]["code"]) == (409, "DUPLICATE_RESOURCE")
    assert facts(response.json()["error"]) == {"operation_id": accepted["operation_id"]}


async def test_twenty_at_once_are_numbered_without_gaps(fresh):
    bodies = [{**LEAST, "version_tag": f"1.0.{number}"} for number in range(20)]
    answers = await asyncio.gather(*(fresh.developer.post(builds(fresh), body) for body in bodies))
    assert {answer.status_code for answer in answers} == {201}
    assert sorted(answer.json()["data"]["build_number"] for answer in answers) == list(range(1, 21))


async def test_a_commit_as_short_as_in_the_contracts_sdk_example(fresh):
    made = await fresh.developer.made(builds(fresh), {**LEAST, "git_commit_hash": "abc123"})
    assert made["git_commit_hash"] == "abc123"


async def test_of_twenty_with_one_tag_one_wins_and_no_number_is_lost(fresh):
    answers = await asyncio.gather(*(fresh.developer.post(builds(fresh), LEAST) for _ in range(20)))
    assert sorted(answer.status_code for answer in answers) == [201, *([409] * 19)]
    assert (await fresh.developer.made(builds(fresh), {**LEAST, "version_tag": "1.0.1"}))["build_number"] == 2


async def test_an_idempotency_key_makes_one_of_many(fresh):
    headers = {"Idempotency-Key": "one"}
    answers = [await fresh.developer.post(builds(fresh), LEAST, headers=headers) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [201, 201]
    assert answers[1].headers["idempotent-replayed"] == "true"
    assert (answers[1].content, answers[1].headers["location"]) == (answers[0].content, answers[0].headers["location"])


async def test_who_may_and_where(fresh, world, caller, rows):
    viewer = caller(Role.VIEWER, fresh.org["id"])
    assert (await viewer.post(builds(fresh), LEAST)).status_code == 403
    assert (await world.developer.post(builds(fresh), LEAST)).status_code == 404
    assert (await fresh.developer.post(f"/features/{new_id()}/builds", LEAST)).status_code == 404
    async with transaction(rows) as session:
        await session.execute(update(Project).where(Project.id == UUID(fresh.project["id"])).values(status="archived"))
    response = await fresh.developer.post(builds(fresh), LEAST)
    assert (response.status_code, response.json()["error"]["code"]) == (400, "INVALID_STATE")


async def test_lists_by_feature_and_project_newest_first(fresh, world):
    made = [
        await fresh.developer.made(builds(fresh), {**LEAST, "version_tag": tag, **facts})
        for tag, facts in (("1.0.0", {}), ("1.0.1", {"tests_failed": 1}), ("1.1.0", {}))
    ]
    newest = [row["id"] for row in reversed(made)]
    for path in (builds(fresh), f"/projects/{fresh.project['id']}/builds"):
        page = (await fresh.developer.get(path)).json()
        assert [row["id"] for row in page["data"]] == newest
        failed = (await fresh.developer.get(path + "?status=failed")).json()
        assert [row["version_tag"] for row in failed["data"]] == ["1.0.1"]
        one = (await fresh.developer.get(path + "?version_tag=1.1.0&status=success")).json()
        assert [row["id"] for row in one["data"]] == newest[:1]
        assert (await fresh.developer.get(path + "?version_tag=9.9.9")).json()["data"] == []
        assert (await fresh.developer.get(path + "?status=odd")).status_code == 400
        assert (await world.developer.get(path)).status_code == 404
    second = (await fresh.developer.get(f"/projects/{fresh.project['id']}/builds?page_size=2&page=2")).json()
    assert [row["id"] for row in second["data"]] == newest[2:]


async def test_its_first_deployment_makes_its_artifact_the_next_ones_do_not(fresh, operations, rows):
    made = await fresh.developer.made(builds(fresh), EXAMPLE)
    deployment = await fresh.developer.made(f"/builds/{made['id']}/deploy", DEV)
    [(kind, payload)] = operations.started
    assert kind is OperationKind.DEPLOY
    order = DeployInput.model_validate(payload)
    assert order.source == BuildSource(
        repository_url=fresh.project["repository_url"], git_commit_hash="abc123def456", git_branch="main"
    )
    operation = (await fresh.developer.get(f"/operations/{deployment['operation_id']}")).json()["data"]
    assert [step["name"] for step in operation["steps"]] == list(StepName)
    assert (deployment["build_id"], operation["kind"]) == (made["id"], "deploy")
    async with transaction(rows) as session:
        (await session.get_one(Build, UUID(made["id"]))).artifact_digest = "sha256:00"
    operations.started.clear()
    await fresh.developer.made(f"/builds/{made['id']}/deploy", {"environment": "staging"})
    [(_, payload)] = operations.started
    assert DeployInput.model_validate(payload).source is None


async def test_what_is_built_is_built_in_the_projects_folder(fresh, operations):
    await fresh.developer.patch(f"/projects/{fresh.project['id']}", {"source_path": "apps/api"})
    made = await fresh.developer.made(builds(fresh), EXAMPLE)
    await fresh.developer.made(f"/builds/{made['id']}/deploy", DEV)
    body = {"environment": "dev", "version_tag": "7.0.0", "git_branch": "main"}
    await fresh.developer.made(f"/features/{fresh.feature['id']}/build-and-deploy", body)
    [(_, deploy), (_, build)] = operations.started
    order = DeployInput.model_validate(deploy)
    assert order.source is not None
    assert (order.source.source_path, build["source_path"]) == ("apps/api", "apps/api")


@pytest.mark.parametrize("action", ["retry", "promote"])
async def test_retry_and_promote_make_it_again(fresh, operations, end, action):
    made = await fresh.developer.made(builds(fresh), LEAST)
    deployment = await fresh.developer.made(f"/builds/{made['id']}/deploy", DEV)
    await end(deployment["id"], "failed")
    operations.started.clear()
    again = await fresh.manager.made(f"/deployments/{deployment['id']}/{action}", {"reason": "the host is back"})
    assert (again["build_id"], again["retry_of"]) == (made["id"], deployment["id"])
    [(kind, payload)] = operations.started
    assert (kind, payload["source"]["git_commit_hash"]) == (OperationKind.DEPLOY, "abc123def456")


async def test_a_repository_that_cannot_be_fetched_is_a_422(fresh, rows, operations):
    made = await fresh.developer.made(builds(fresh), LEAST)
    async with transaction(rows) as session:
        project = (await session.scalars(select(Project).where(Project.id == UUID(fresh.project["id"])))).one()
        project.repository_type = "svn"
    response = await fresh.developer.post(f"/builds/{made['id']}/deploy", DEV)
    assert (response.status_code, response.json()["error"]["code"]) == (422, "UNPROCESSABLE")
    assert operations.started == []
