"""Builds, their logs, environments, health, documentation."""

import asyncio
import time
from uuid import UUID

import httpx2
import pytest
from openapi_spec_validator import validate
from sqlalchemy import Connection, delete

from domain.errors import DependencyError
from runtime import returning
from runtime.returning import Returning
from storage import migrations
from storage.engine import transaction
from storage.models import Deployment, Environment
from tests.api.conftest import BASE_URL


async def test_a_build_with_full_details(world, operations, build_of):
    made = await build_of(world, "2.0.0")
    response = await world.developer.get(f"/builds/{made['build_id']}")
    data = response.json()["data"]
    expected = {
        "id": made["build_id"],
        "feature_id": world.feature["id"],
        "project_id": world.project["id"],
        "version_tag": "2.0.0",
        "git_commit_hash": "abc123def456",
        "git_branch": "main",
        "status": "success",
        "tests_run": 245,
        "tests_passed": 245,
        "tests_failed": 0,
        "code_coverage_percent": 88.5,
        "vulnerabilities_critical": None,
        "duration_seconds": 1800,
    }
    assert (response.status_code, data | expected) == (200, data)
    listed = (await world.developer.get(f"/features/{world.feature['id']}/builds")).json()["data"]
    assert data in listed


async def test_a_deployment_with_full_details(world, operations, build_of):
    made = await build_of(world, "2.1.0")
    data = (await world.developer.get(f"/deployments/{made['deployment_id']}")).json()["data"]
    expected = {
        "id": made["deployment_id"],
        "build_id": made["build_id"],
        "environment": "dev",
        "status": "success",
        "deployment_strategy": "rolling",
        "duration_seconds": 900,
        "health_check_status": "healthy",
        "error_rate_percent": None,
    }
    assert data | expected == data
    url = f"/projects/{world.project['id']}/deployments"
    assert data in (await world.developer.get(url + "?environment=dev&status=success")).json()["data"]
    assert (await world.developer.get(url + "?status=failed")).json()["data"] == []


async def test_logs_are_read_in_pieces(world, operations, build_of, settings):
    made = await build_of(world, "2.2.0")
    folder = settings.data_dir / "logs" / "operations" / made["operation_id"]
    url = f"/builds/{made['build_id']}/logs"
    assert (await world.developer.get(url)).text == ""
    folder.mkdir(parents=True)
    (folder / "source.log").write_text("cloned\n")
    (folder / "build.log").write_text("grüße\n" * 1000)
    whole = await world.developer.get(url)
    assert whole.headers["content-type"] == "text/plain; charset=utf-8"
    assert whole.text == "==> source <==\ncloned\n==> build <==\n" + "grüße\n" * 1000
    pieces, offset = b"", 0
    while True:
        piece = await world.developer.get(f"{url}?offset={offset}&limit=1000")
        if not piece.content:
            break
        pieces, offset = pieces + piece.content, int(piece.headers["x-next-offset"])
    assert pieces == whole.content
    assert (await world.developer.get(f"/operations/{made['operation_id']}/logs?step=source")).text == "cloned\n"
    listing = await world.developer.get(url, headers={"Accept": "application/json"})
    assert [step["name"] for step in listing.json()["data"]["steps"]] == ["source", "build"]
    assert (await world.developer.get(f"{url}?step=../secrets")).status_code == 400
    assert (await world.developer.get(f"{url}?limit=999999999")).status_code == 400


async def test_an_environment_is_there_before_anything_is_deployed(other_world):
    data = (await other_world.developer.get(f"/projects/{other_world.project['id']}/environments/staging")).json()
    expected = {"id": None, "name": "staging", "current_release": None, "lock": None}
    assert data["data"] | expected == data["data"]
    assert data["data"]["url"] == "http://staging.shop.other.localhost:8000"


async def test_an_environment_shows_what_runs_and_who_has_the_turn(world, operations, build_of, rows):
    old, new = await build_of(world, "2.3.0"), await build_of(world, "2.4.0")
    async with transaction(rows) as session:
        url = f"/projects/{world.project['id']}/environments/dev"
        made = (await world.developer.get(url)).json()["data"]
        environment = await session.get_one(Environment, UUID(made["id"]))
        environment.holder_deployment_id = UUID(new["deployment_id"])
    data = (await world.developer.get(url)).json()["data"]
    assert data["host"] == "dev.shop.acme.localhost"
    assert (data["current_release"]["build_id"], data["current_release"]["version_tag"]) == (new["build_id"], "2.4.0")
    assert data["previous_release"]["deployment_id"] == old["deployment_id"]
    assert data["lock"]["operation_id"] == new["operation_id"]
    listed = (await world.developer.get(f"/projects/{world.project['id']}/environments")).json()["data"]
    assert [row["name"] for row in listed] == ["dev", "staging", "production"]
    assert listed[0] == data


async def test_an_environment_shows_what_ran_there_before(other_world, operations, build_of, rows):
    """The last ten that went live, newest first, those of each environment for themselves; not what never did."""
    live = [(await build_of(other_world, f"3.0.{number}"))["build_id"] for number in range(12)]
    await build_of(other_world, "3.1.0", environment="staging")
    await build_of(other_world, "3.2.0", live=False)
    listed = (await other_world.developer.get(f"/projects/{other_world.project['id']}/environments")).json()["data"]
    dev, staging, production = listed
    assert [entry["build_id"] for entry in dev["history"]] == live[:1:-1]
    assert dev["history"][:2] == [dev["current_release"], dev["previous_release"]]
    assert [entry["version_tag"] for entry in staging["history"]] == ["3.1.0"]
    assert (production["id"], production["history"]) == (None, [])
    one = await other_world.developer.get(f"/projects/{other_world.project['id']}/environments/dev")
    assert one.json()["data"] == dev


@pytest.fixture
async def anybody(app):
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app=app), base_url=BASE_URL) as client:
        yield client


async def test_health_is_as_in_the_contract(anybody, app, operations, monkeypatch):
    operations.down = DependencyError("Temporal does not answer")
    monkeypatch.setattr(app.state.parts.health, "_seen_at", float("-inf"))  # whoever asked before is not answered again
    unhealthy = await anybody.get("/health")
    assert unhealthy.status_code == 503
    assert unhealthy.json()["services"]["message_queue"] == "unhealthy"
    assert set(unhealthy.json()) == {"status", "timestamp", "services", "errors"}
    operations.down = None
    monkeypatch.setattr(app.state.parts.health, "_seen_at", float("-inf"))
    healthy = await anybody.get("/v1/health")
    assert healthy.status_code == 200, healthy.text
    services = dict.fromkeys(("database", "cache", "message_queue", "storage"), "healthy")
    assert healthy.json() | {"status": "healthy", "services": services} == healthy.json()
    assert set(healthy.json()) == {"status", "timestamp", "services", "version", "code"}
    assert healthy.json()["code"].startswith("trusted: builds and services run without isolation")
    for path in ("/livez", "/readyz", "/v1/livez", "/v1/readyz"):
        assert (await anybody.get(path)).status_code == 200


async def test_health_is_degraded_while_services_come_back(anybody, app):
    """The API serves, and what it deployed does not yet: that is no "healthy"."""
    path = app.state.parts.settings.data_dir / "run" / returning.NAME
    path.parent.mkdir(exist_ok=True)
    try:
        Returning(135, 40, coming_back=True, at=time.time()).save(path)
        seen = await anybody.get("/health")
        assert (seen.status_code, seen.json()["status"]) == (200, "degraded")
        assert seen.json()["services"]["deployments"] == "degraded"
        Returning(135, 135, coming_back=False, at=time.time()).save(path)
        seen = (await anybody.get("/health")).json()
        assert (seen["status"], "deployments" in seen["services"]) == ("healthy", False)
    finally:
        path.unlink()


async def test_a_crowd_of_probes_takes_one_connection(anybody, app, monkeypatch):
    looked: list[object] = []
    current = migrations.current

    def counted(connection: Connection) -> str | None:
        looked.append(connection)
        return current(connection)

    monkeypatch.setattr(migrations, "current", counted)
    monkeypatch.setattr(app.state.parts.health, "_schema_at", float("-inf"))
    began = time.monotonic()
    answers = await asyncio.gather(*(anybody.get("/readyz") for _ in range(50)))
    assert {answer.status_code for answer in answers} == {200}
    # one a second, whoever asks: nobody counts these requests
    assert 1 <= len(looked) <= 1 + time.monotonic() - began


async def test_the_documentation_needs_no_internet(anybody):
    for path in ("/docs", "/redoc", "/v1/docs"):
        page = await anybody.get(path)
        assert page.status_code == 200
        assert "http" not in page.text.replace("http-equiv", "")
        for asset in [part.split('"')[0] for part in page.text.split('="/')[1:]]:
            assert (await anybody.get("/" + asset)).status_code == 200, asset


@pytest.mark.deep  # tests/api/openapi asks it of the same document
async def test_the_openapi_document_is_valid_and_complete(anybody):
    document = (await anybody.get("/v1/openapi.json")).json()
    validate(document)
    assert set(document["components"]["securitySchemes"]) == {"BearerAuth", "ApiKeyAuth", "OAuth2"}
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            assert operation["summary"], (method, path)
            assert operation["tags"], (method, path)


async def test_a_deployment_that_is_cached_is_shown_as_it_is_now(world, other_world, build_of, end):
    made = await build_of(world, "2.9.0", live=False)
    path = f"/deployments/{made['deployment_id']}"
    before = [(await world.manager.get(path)).json()["data"]["status"] for _ in range(2)]
    await end(made["deployment_id"], "failed")
    after = (await world.manager.get(path)).json()["data"]["status"]
    assert (set(before), after) == ({before[0]}, "failed")
    assert before[0] != after
    assert (await other_world.manager.get(path)).status_code == 404


async def test_a_deployment_that_was_deleted_is_not_remembered(world, build_of, rows):
    made = await build_of(world, "2.9.1", live=False)
    path = f"/deployments/{made['deployment_id']}"
    assert (await world.manager.get(path)).status_code == 200
    async with transaction(rows) as session:
        await session.execute(delete(Deployment).where(Deployment.id == UUID(made["deployment_id"])))
    assert (await world.manager.get(path)).status_code == 404
