"""Every example of the contract, sent as it stands and answered as it stands, on the real database.

What a client would have done before (and what the worker writes) is set up by a scene; the ids in the example are
replaced by those of the scene, and nothing else is.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import update

from api.app import create_app
from contracts.operations import Progress
from domain.latencies import bin_of
from domain.lifecycle import OperationKind, OperationStatus
from domain.metric_counts import Counts
from domain.metric_windows import beginning
from domain.permissions import Role
from runtime.ids import new_id, now
from storage.engine import transaction
from storage.models import Build, Deployment, Operation, Organization, Project
from storage.models.metrics import ALL_ORGANIZATIONS
from storage.repositories.metric_rollups import MetricRollups
from tests.api.conftest import Caller, World, make_world
from tests.contract.comparing import differences
from tests.contract.later import ENDPOINTS
from tests.contract.parsing import Endpoint, Example, endpoints

STARTED = datetime.fromisoformat("2024-10-26T10:00:00Z")
DELIVERY = {"version_tag": "1.2.0", "git_branch": "main", "environment": "staging"}


@dataclass
class Stage:
    """What scenes work with. Each example has a world of its own."""

    world: World
    platform: Caller
    caller: Any
    rows: Any
    operations: Any
    build_of: Any
    app: Any
    monkeypatch: Any
    settings: Any

    async def set(self, model: Any, key: str, **values: Any) -> None:
        """Write what the worker (or time) would have written."""
        async with transaction(self.rows) as session:
            await session.execute(update(model).where(model.id == UUID(key)).values(**values))


@dataclass
class Scene:
    """Who asks, with which ids in the path."""

    who: Caller
    ids: Mapping[str, str] = field(default_factory=dict)
    body: Any = None


async def organizations(stage: Stage) -> Scene:
    """42 active ones, Acme Corp the newest."""
    platform = stage.platform
    async with transaction(stage.rows) as session:
        await session.execute(update(Organization).values(status="inactive"))
    for number in range(41):
        await platform.made("/organizations", {"name": "Filler", "slug": f"filler-{number}"})
    body = {"name": "Acme Corp", "slug": "acme-corp", "type": "enterprise", "plan": "enterprise"}
    await platform.made("/organizations", {**body, "max_users": 500, "max_projects": 100})
    return Scene(platform)


async def platform_admin(stage: Stage) -> Scene:
    return Scene(stage.platform)


async def projects(stage: Stage) -> Scene:
    """Five of them, Backend API the newest."""
    path = f"/organizations/{stage.world.org['id']}/projects"
    await stage.set(Organization, stage.world.org["id"], max_projects=10)
    url = "https://github.com/acme/backend-api"
    for number in range(3):
        await stage.world.developer.made(path, {"name": "Filler", "slug": f"f{number}", "repository_url": url})
    body = {"name": "Backend API", "slug": "backend-api", "description": "Core API services", "repository_url": url}
    await stage.world.developer.made(path, {**body, "tech_stack": ["python", "fastapi", "postgresql"]})
    return Scene(stage.world.developer, {"org_id": stage.world.org["id"]})


async def in_organization(stage: Stage) -> Scene:
    return Scene(stage.world.developer, {"org_id": stage.world.org["id"]})


async def in_project(stage: Stage) -> Scene:
    return Scene(stage.world.developer, {"project_id": stage.world.project["id"]})


async def in_requirement(stage: Stage) -> Scene:
    return Scene(stage.world.developer, {"requirement_id": stage.world.requirement["id"]})


async def in_feature(stage: Stage) -> Scene:
    return Scene(stage.world.developer, {"feature_id": stage.world.feature["id"]})


async def with_test_case(stage: Stage) -> Scene:
    [example] = [one.request for one in endpoints() if one.name == "POST /features/:feature_id/tests"]
    made = await stage.world.developer.made(f"/features/{stage.world.feature['id']}/tests", example.body)
    return Scene(stage.world.developer, {"testcase_id": made["id"]})


async def build_42(stage: Stage) -> Scene:
    await stage.set(Project, stage.world.project["id"], last_build_number=41)
    return await in_feature(stage)


async def finished_build(stage: Stage) -> Scene:
    made = await stage.build_of(stage.world, "1.2.0")
    await stage.set(
        Build,
        made["build_id"],
        build_number=42,
        docker_image_url="registry.example.com/project:1.2.0",
        docker_image_size_bytes=524288000,
        vulnerabilities={"critical": 0, "high": 0, "medium": 1, "low": 3},
        started_at=STARTED,
        completed_at=STARTED + timedelta(seconds=1800),
    )
    return Scene(stage.world.developer, {"build_id": made["build_id"]})


async def build_for_production(stage: Stage) -> Scene:
    made = await stage.build_of(stage.world, "1.2.0")
    return Scene(stage.world.manager, {"build_id": made["build_id"]})


async def finished_deployment(stage: Stage) -> Scene:
    made = await stage.build_of(stage.world, "1.2.0", environment="production")
    await stage.set(
        Deployment,
        made["deployment_id"],
        deployment_strategy="blue_green",
        error_rate_percent=0.01,
        performance_metrics={"p95_response_time_ms": 245, "throughput_rps": 12500, "error_rate_percent": 0.01},
        started_at=STARTED,
        completed_at=STARTED + timedelta(seconds=900),
    )
    return Scene(stage.world.developer, {"deployment_id": made["deployment_id"]})


async def live_deployment(stage: Stage) -> Scene:
    """The worker takes it back as soon as it is told to."""
    old = await stage.build_of(stage.world, "1.1.0")
    new = await stage.build_of(stage.world, "1.2.0")

    async def take_back(kind: OperationKind, payload: Any) -> None:
        values = {"status": "rolled_back", "rolled_back_at": STARTED, "rolled_back_to_build_id": UUID(old["build_id"])}
        await stage.set(Deployment, new["deployment_id"], **values)

    stage.monkeypatch.setattr(stage.operations, "start", take_back)
    return Scene(stage.world.developer, {"deployment_id": new["deployment_id"]})


async def measured(stage: Stage) -> Scene:
    """What the contract shows, of an organization; of the machines so much was used that we are nothing beside it."""
    org = await stage.platform.made("/organizations", {"name": "Measured", "slug": f"m-{new_id().hex[-8:]}"})
    latencies = {145: 90_000, 380: 33_000, 650: 2000}
    counts = Counts(requests=125_000, errors=62, queries=450_000, slow_queries=12, cache_hits=925, cache_misses=75)
    for milliseconds, number in latencies.items():
        counts.latencies[bin_of(milliseconds)] = number
    machines = Counts(cpu_s=45.2e12, cpu_capacity_s=1e14, memory_mb_s=62.1e12, memory_capacity_mb_s=1e14)
    minute = beginning(now(), timedelta(minutes=1))
    async with transaction(stage.rows) as session:
        rollups = MetricRollups(session)
        await rollups.add({(UUID(org["id"]), 60, minute): counts, (ALL_ORGANIZATIONS, 60, minute): machines})
    return Scene(stage.caller(Role.DEVELOPER, org["id"]))


async def healthy(stage: Stage) -> Scene:
    return Scene(stage.platform)


async def to_build_and_deploy(stage: Stage) -> Scene:
    """The contract shows no body here."""
    return Scene(stage.world.developer, {"feature_id": stage.world.feature["id"]}, DELIVERY)


async def running_operation(stage: Stage) -> Scene:
    """75 % done; three runs before it tell that 30 s are left."""
    path = f"/features/{stage.world.feature['id']}/build-and-deploy"
    operation_id = (await stage.world.developer.made(path, DELIVERY))["operation_id"]
    stage.operations.known[UUID(operation_id)] = Progress(
        operation_id=UUID(operation_id),
        kind=OperationKind.BUILD_AND_DEPLOY,
        status=OperationStatus.IN_PROGRESS,
        version=9,
        progress_percent=75,
        current_step="Running security scans...",
    )

    async def eta(row: Operation, progress: Progress) -> int:
        return 30

    stage.monkeypatch.setattr(stage.app.state.parts.progress._learned, "eta", eta)
    return Scene(stage.world.developer, {"operation_id": operation_id})


async def completed_operation(stage: Stage) -> Scene:
    made = await stage.build_of(stage.world, "1.2.0")
    return Scene(stage.world.developer, {"operation_id": made["operation_id"]})


# By endpoint, a scene for each example answer; where the contract shows none, for the request alone.
SCENES: dict[str, list[Callable[[Stage], Awaitable[Scene]]]] = {
    "GET /organizations": [organizations],
    "POST /organizations": [platform_admin],
    "GET /organizations/:org_id/projects": [projects],
    "POST /organizations/:org_id/projects": [in_organization],
    "POST /projects/:project_id/requirements": [in_project],
    "POST /requirements/:requirement_id/features": [in_requirement],
    "PATCH /features/:feature_id/status": [in_feature],
    "POST /features/:feature_id/tests": [in_feature],
    "POST /testcases/:testcase_id/results": [with_test_case],
    "POST /features/:feature_id/builds": [build_42],
    "GET /builds/:build_id": [finished_build],
    "POST /builds/:build_id/deploy": [build_for_production],
    "GET /deployments/:deployment_id": [finished_deployment],
    "POST /deployments/:deployment_id/rollback": [live_deployment],
    "GET /metrics": [measured],
    "GET /health": [healthy],  # the other one needs a database that is gone: below
    "POST /features/:feature_id/build-and-deploy": [to_build_and_deploy],
    "GET /operations/:operation_id": [running_operation, completed_operation],
}
CASES = [
    pytest.param(endpoint, number, scene, id=f"{endpoint.name} {number}")
    for endpoint in endpoints()
    for number, scene in enumerate(SCENES.get(endpoint.name, []))
]
SUCCESS = {"GET": 200, "POST": 201, "PATCH": 200}


@pytest.fixture
async def stage(*, platform, caller, rows, operations, build_of, app, monkeypatch, settings):
    world = await make_world(platform, caller, f"acme-{new_id().hex[-8:]}")
    return Stage(world, platform, caller, rows, operations, build_of, app, monkeypatch, settings)


def sent_and_expected(endpoint: Endpoint, number: int, scene: Scene) -> tuple[str, Any, Example]:
    """The address and body to send, and what is to come. What is sent comes back, where no answer is shown."""
    path, body = endpoint.path.format(**scene.ids), scene.body
    if endpoint.request is not None:
        body = endpoint.request.body
        path = "?".join([path, *(endpoint.request.path or "").split("?")[1:]])
    if endpoint.responses:
        return path, body, endpoint.responses[number]
    status = SUCCESS[endpoint.method]
    told = {"implementation_status" if "/status" in endpoint.name else key: value for key, value in body.items()}
    return path, body, Example({"success": True, "status": status, "data": told}, status)


@pytest.mark.parametrize(("endpoint", "number", "make_scene"), CASES)
async def test_the_example_works_as_it_stands(stage, endpoint, number, make_scene):
    scene = await make_scene(stage)
    path, body, expected = sent_and_expected(endpoint, number, scene)
    response = await scene.who.http.request(endpoint.method, path, **({} if body is None else {"json": body}))
    assert response.status_code == expected.status, response.text
    assert differences(expected.body, response.json()) == []
    if endpoint.public:  # `code`: what deployed code can do here, which the customer asked for later
        assert response.json().keys() == expected.body.keys() | {"code"}


async def test_health_without_its_database_is_as_in_the_contract(settings, recorder):
    [endpoint] = [one for one in endpoints() if one.name == "GET /health"]
    gone = settings.model_copy(update={"database_url": type(settings.database_url)(nowhere(settings))})
    app = create_app(gone, make_operations=lambda _: recorder)
    async with app.router.lifespan_context(app):
        response = await Caller(app, settings, Role.PLATFORM_ADMIN).get("/health")
    [expected] = [example for example in endpoint.responses if example.status == 503]
    assert response.status_code == 503
    assert differences(expected.body, response.json()) == []
    assert response.json().keys() == expected.body.keys()


def nowhere(settings: Any) -> str:
    """The same database server's address, a database that it has not."""
    return settings.database_url.get_secret_value().replace("/t", "/nowhere-t")


def test_every_example_of_the_contract_is_replayed():
    names = {endpoint.name for endpoint in endpoints()}
    assert names == SCENES.keys() | ENDPOINTS
    shown = {endpoint.name: len(endpoint.responses) for endpoint in endpoints()}
    shown["GET /health"] -= 1
    assert {name: max(1, shown[name]) for name in SCENES} == {name: len(scenes) for name, scenes in SCENES.items()}
