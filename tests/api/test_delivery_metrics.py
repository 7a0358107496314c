"""Delivery metrics against a data set that was computed by hand."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from domain.permissions import Role
from runtime.ids import new_id
from storage.engine import Sessions, transaction
from storage.models import Build, Deployment, Environment, Operation
from tests.api.conftest import make_world

BEGIN = datetime(2026, 3, 2, tzinfo=UTC)
RANGE = "since=2026-03-02T00:00:00Z&until=2026-03-12T00:00:00Z"


def at(days: float, hours: float = 0.0, seconds: float = 0.0) -> datetime:
    return BEGIN + timedelta(days=days, hours=hours, seconds=seconds)


def steps(waited: float, people: float | None) -> list[dict[str, Any]]:
    """Three steps, of which one waited. People: None as older workflows tell them."""
    told = [{} if people is None else {"people_seconds": each} for each in (0.0, people, None)]
    named = zip(("source", "rollout", "scan"), (0.0, waited, 0.0), told, strict=True)
    return [{"name": name, "status": "completed", "waited_seconds": each, **more} for name, each, more in named]


@dataclass
class Past:
    """Writes what happened in a project."""

    sessions: Sessions
    organization_id: UUID
    project_id: UUID
    feature_id: UUID
    numbers: int = 1000

    @property
    def shared(self) -> dict[str, UUID]:
        return {"organization_id": self.organization_id, "project_id": self.project_id}

    async def environment(self, name: str) -> Environment:
        row = Environment(id=new_id(), **self.shared, name=name, host=f"{new_id()}.localhost")
        async with transaction(self.sessions) as session:
            session.add(row)
        return row

    async def deployed(
        self,
        where: Environment,
        commit: str,
        requested: datetime,
        *,
        committed: datetime | None = None,
        waits: tuple[float, float | None] = (0.0, 0.0),
        **values: Any,
    ) -> None:
        self.numbers += 1
        operation = Operation(id=new_id(), **self.shared, kind="build_and_deploy", status="completed")
        operation.resource_id, operation.requested_by = new_id(), "me"
        operation.steps, operation.created_at = steps(*waits), requested
        build = Build(id=new_id(), **self.shared, feature_id=self.feature_id, provenance="executed", status="success")
        build.build_number, build.version_tag, build.git_branch = self.numbers, f"9.0.{self.numbers}", "main"
        build.git_commit_hash, build.committed_at = commit, committed
        deployment = Deployment(id=new_id(), **self.shared, environment_id=where.id, environment=where.name)
        deployment.build_id, deployment.operation_id, deployment.git_commit_hash = build.id, operation.id, commit
        deployment.deployment_strategy, deployment.requested_by = "canary", "me"
        for name, value in {"status": "success", "started_at": requested, **values}.items():
            setattr(deployment, name, value)
        async with transaction(self.sessions) as session:
            session.add_all([operation, build])
            await session.flush()
            session.add(deployment)


def past_of(world: Any, rows: Sessions, project: dict[str, Any]) -> Past:
    return Past(rows, UUID(world.org["id"]), UUID(project["id"]), UUID(world.feature["id"]))


async def first_project(shop: Past) -> None:
    production, staging = await shop.environment("production"), await shop.environment("staging")
    back = {"status": "rolled_back"}
    # Before the range, by a second; taken back in it.
    live, taken = at(0, 0, -1), at(0, 1)
    await shop.deployed(production, "c0", at(0, -1), committed=at(-1), live_at=live, rolled_back_at=taken, **back)
    # An hour for people, half an hour for the lock.
    await shop.deployed(production, "c1", at(1), committed=at(0), waits=(5400.0, 3600.0), live_at=at(1, 4))
    await shop.deployed(staging, "c2", at(1, 11), committed=at(1), live_at=at(1, 12))
    # Taken back by hand, two hours after it went live.
    live, taken = at(2, 1), at(2, 3)
    waits = (600.0, 0.0)
    await shop.deployed(
        production, "c2", at(2), committed=at(1), waits=waits, live_at=live, rolled_back_at=taken, **back
    )
    # A canary that failed after ten minutes.
    await shop.deployed(production, "c3", at(3), committed=at(2), rolled_back_at=at(3, 0, 600), **back)
    # The same commit again.
    await shop.deployed(production, "c1", at(4), committed=at(0), live_at=at(4, 0.5))
    for status in ("cancelled", "failed", "superseded", "awaiting_approval", "in_progress"):
        await shop.deployed(production, f"x-{status}", at(4), committed=at(3), status=status)
    # Whoever committed it had a clock that was a year ahead; and its waits are not known, as of an older engine.
    await shop.deployed(production, "c8", at(4, 23), committed=at(365), waits=(0.0, None), live_at=at(5))
    # In the first moment after the range.
    await shop.deployed(production, "c9", at(9, 23), committed=at(9), live_at=at(10))


@dataclass
class Scene:
    """`world`'s organization has two projects, the first of them two environments."""

    world: Any
    second: dict[str, Any]
    other: Any


@pytest.fixture(scope="module")
async def scene(platform, caller, rows) -> Scene:
    world, other = [await make_world(platform, caller, f"dora-{uuid4()}") for _ in range(2)]
    second = await world.developer.made(
        f"/organizations/{world.org['id']}/projects",
        {"name": "Second", "slug": "second", "repository_url": "https://git.example.com/acme/second"},
    )
    await first_project(past_of(world, rows, world.project))
    more = past_of(world, rows, second)
    # Is being taken back just now: failed, and nobody knows yet how long it takes.
    production = await more.environment("production")
    await more.deployed(production, "q1", at(6, 1), committed=at(6), live_at=at(6, 2), status="rolling_back")
    # In the first moment of the range; neither its commit's time nor its waits are known.
    await more.deployed(await more.environment("staging"), "q0", at(0, -1), waits=(60.0, None), live_at=at(0))
    strange = past_of(other, rows, other.project)
    place, back = await strange.environment("production"), {"status": "rolled_back", "rolled_back_at": at(3)}
    await strange.deployed(place, "c1", at(1), committed=at(0), live_at=at(2), **back)
    return Scene(world, second, other)


def seconds(measured: int, mean: float | None, median: float | None, p90: float | None) -> dict[str, Any]:
    return {"measured": measured, "mean_seconds": mean, "median_seconds": median, "p90_seconds": p90}


def failures(before: int, after: int, *, of: int, percent: float) -> dict[str, Any]:
    told = {"failed_before_live": before, "failed_after_live": after}
    return {"changes": of, "failed": before + after, **told, "percent": percent}


NOTHING = seconds(0, None, None, None)


async def metrics(caller: Any, path: str) -> dict[str, Any]:
    answer = await caller.get(path)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()["data"]
    return found


async def test_an_organizations_metrics_are_those_that_were_computed_by_hand(scene):
    org = scene.world.org["id"]
    found = await metrics(scene.world.developer, f"/organizations/{org}/delivery-metrics?{RANGE}")
    assert found == {
        "organization_id": org,
        "project_id": None,
        "environment": None,
        "since": "2026-03-02T00:00:00Z",
        "until": "2026-03-12T00:00:00Z",
        "deployment_frequency": {"deployments": 7, "days_with_deployment": 6, "per_day": 0.7},
        "lead_time": seconds(4, 60300.0, 66600.0, 97560.0),  # 7200, 43200, 90000, 100800
        "change_failure_rate": failures(1, 2, of=8, percent=37.5),
        "time_to_restore": seconds(3, 3800.333, 3601.0, 6480.2),  # 600, 3601, 7200
        "waiting": {
            "total": seconds(5, 5400.0, 3600.0, 10080.0),  # 1800, 3600, 3600, 3600, 14400
            "people": seconds(5, 720.0, 0.0, 2160.0),  # 0, 0, 0, 0, 3600
            "others": seconds(5, 480.0, 0.0, 1320.0),  # 0, 0, 0, 600, 1800
            "machine": seconds(5, 4200.0, 3600.0, 6840.0),  # 1800, 3000, 3600, 3600, 9000
        },
    }


async def test_a_project_and_an_environment_have_their_own(scene):
    world, developer = scene.world, scene.world.developer
    org, project = world.org["id"], world.project["id"]
    of_project = await metrics(developer, f"/projects/{project}/delivery-metrics?{RANGE}")
    assert of_project["deployment_frequency"]["deployments"] == 5
    assert of_project["lead_time"] == seconds(3, 78000.0, 90000.0, 98640.0)
    filtered = f"/organizations/{org}/delivery-metrics?{RANGE}&project_id={project}"
    assert await metrics(developer, filtered) == of_project
    production = await metrics(developer, f"/projects/{project}/environments/production/delivery-metrics?{RANGE}")
    assert production["change_failure_rate"] == failures(1, 1, of=5, percent=40.0)
    assert production["lead_time"] == seconds(2, 95400.0, 95400.0, 99720.0)
    assert (production["project_id"], production["environment"]) == (project, "production")
    path = f"/projects/{project}/delivery-metrics?{RANGE}&environment=production"
    assert await metrics(developer, path) == production
    second = await metrics(developer, f"/projects/{scene.second['id']}/delivery-metrics?{RANGE}")
    assert second["change_failure_rate"] == failures(0, 1, of=2, percent=50.0)
    assert second["time_to_restore"] == NOTHING
    assert second["waiting"]["total"]["measured"] == 1


async def test_another_organization_has_its_own(scene):
    org = scene.other.org["id"]
    found = await metrics(scene.other.developer, f"/organizations/{org}/delivery-metrics?{RANGE}")
    assert found["deployment_frequency"]["deployments"] == 1
    assert found["change_failure_rate"]["percent"] == 100.0
    assert found["time_to_restore"] == seconds(1, 86400.0, 86400.0, 86400.0)


async def test_waits_that_go_on_after_it_went_live_are_no_more_than_the_whole(scene, rows):
    org = scene.other.org["id"]
    strange = past_of(scene.other, rows, scene.other.project)
    strange.numbers = 2000
    place = await strange.environment("staging")
    await strange.deployed(place, "w1", at(20), waits=(9000.0, 9000.0), live_at=at(20, 1))
    await strange.deployed(place, "w2", at(20), waits=(9000.0, 600.0), live_at=at(20, 1))
    path = f"/organizations/{org}/delivery-metrics?since=2026-03-20T00:00:00Z&until=2026-03-25T00:00:00Z"
    waiting = (await metrics(scene.other.developer, path))["waiting"]
    means = {name: part["mean_seconds"] for name, part in waiting.items()}
    assert means == {"total": 3600.0, "people": 2100.0, "others": 1500.0, "machine": 0.0}


async def test_without_data_what_is_not_defined_is_null(scene):
    org = scene.world.org["id"]
    path = f"/organizations/{org}/delivery-metrics?since=2020-01-01T00:00:00Z&until=2020-01-31T00:00:00Z"
    found = await metrics(scene.world.developer, path)
    assert found["deployment_frequency"] == {"deployments": 0, "days_with_deployment": 0, "per_day": 0.0}
    assert (found["change_failure_rate"]["changes"], found["change_failure_rate"]["percent"]) == (0, None)
    assert found["lead_time"] == found["time_to_restore"] == NOTHING
    assert found["waiting"] == dict.fromkeys(("total", "people", "others", "machine"), NOTHING)


async def test_without_a_range_it_is_the_last_thirty_days(scene):
    found = await metrics(scene.world.developer, f"/projects/{scene.world.project['id']}/delivery-metrics")
    since, until = (datetime.fromisoformat(found[name]) for name in ("since", "until"))
    assert until - since == timedelta(days=30)


@pytest.mark.parametrize(
    "query",
    [
        "since=2026-03-02T00:00:00Z&until=2026-03-02T00:00:00Z",
        "since=2026-03-03T00:00:00Z&until=2026-03-02T00:00:00Z",
        "since=2999-01-01T00:00:00Z",
        "since=2020-01-01T00:00:00Z&until=2026-03-02T00:00:00Z",
        "until=0001-01-01T00:00:00Z",
        "since=9999-12-31T23:59:59Z",
        "since=0001-01-01T00:00:00%2B14:00&until=0001-01-02T00:00:00Z",
        "since=9999-12-30T00:00:00Z&until=9999-12-31T23:59:59-14:00",
        "since=yesterday",
        "since=1700000000",
        "environment=moon",
        "project_id=nonsense",
        "colour=red",
    ],
)
async def test_a_range_that_is_none_is_refused_with_words(scene, query):
    answer = await scene.world.developer.get(f"/organizations/{scene.world.org['id']}/delivery-metrics?{query}")
    assert answer.status_code == 400, answer.text
    assert answer.json()["error"]["message"]


async def test_who_may_see_them(scene, caller, platform):
    world, other = scene.world, scene.other
    org, project = world.org["id"], world.project["id"]
    of_org, of_project = f"/organizations/{org}/delivery-metrics", f"/projects/{project}/delivery-metrics"
    viewer = caller(Role.VIEWER, org)
    for path in (of_org, of_project):
        assert (await viewer.get(path)).status_code == 200
    assert (await platform.get(f"{of_org}?{RANGE}")).json()["data"]["deployment_frequency"]["deployments"] == 7
    assert (await other.developer.get(of_org)).status_code == 403
    strange = f"/organizations/{other.org['id']}/delivery-metrics?project_id={project}"
    for path in (of_project, f"/projects/{project}/environments/production/delivery-metrics", strange):
        assert (await other.developer.get(path)).status_code == 404
    assert (await platform.get(strange)).status_code == 404
