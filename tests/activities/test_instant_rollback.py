"""Taking a live release back at once: who gets the traffic, and when it takes a rollout instead."""

import asyncio
from collections.abc import Sequence
from uuid import UUID

import pytest
from sqlalchemy import text
from temporalio.exceptions import ApplicationError
from temporalio.testing import ActivityEnvironment

from activities.instant_rollback import TakeBackActivity
from activities.routing import RouteWriter
from contracts.rollouts import OpenRelease, PromoteRelease, ReopenRelease, TakeBack, TakenBack
from domain.delivery_spec import HealthSpec, ServiceSpec
from domain.lifecycle import ReleaseState
from domain.routing import Endpoint, RoutingTable
from drivers.routers.base import EndpointHealth, ReadinessRule, TrafficCounters
from runtime.ids import new_id
from storage.engine import transaction
from storage.models import Deployment, Environment, Release, Route
from storage.repositories.projections import ProjectionRepository
from storage.repositories.releases import ReleaseRepository
from tests.activities.conftest import release_activities


class WrittenDown:
    """A router that keeps the tables it was given, and sees as many healthy endpoints as it is told."""

    def __init__(self) -> None:
        self.tables: list[RoutingTable] = []
        self.healthy = 2
        self.fault: Exception | None = None
        self.looked = asyncio.Event()
        self.may_answer = asyncio.Event()
        self.may_answer.set()

    async def apply(self, table: RoutingTable, *, readiness: ReadinessRule, over: str) -> tuple[()]:
        if self.fault:
            raise self.fault
        self.tables.append(table)
        return ()

    async def mark(self) -> str:
        return ""

    async def applied_generation(self) -> int | None:
        return self.tables[-1].generation if self.tables else None

    async def endpoint_health(self, release_id: str) -> Sequence[EndpointHealth]:
        self.looked.set()
        await self.may_answer.wait()
        return [EndpointHealth(Endpoint("127.0.0.1", 9000 + n), n < self.healthy, 0) for n in range(2)]

    async def counters(self, release_ids: Sequence[str]) -> Sequence[TrafficCounters]:
        return []


@pytest.fixture
def router():
    return WrittenDown()


@pytest.fixture
def take_back(sessions, router):
    """Runs the activity for a deployment."""

    async def run(found, deployment_id: UUID) -> TakenBack:
        activity = TakeBackActivity(sessions, router, RouteWriter(sessions, router))
        return await ActivityEnvironment().run(activity.take_back, TakeBack(place=found.place(deployment_id)))

    return run


@pytest.fixture
def row(sessions):
    """Reads one row."""

    async def get(model, row_id):
        async with transaction(sessions) as session:
            return await session.get_one(model, row_id)

    return get


async def test_the_kept_release_gets_everything_at_once(history, take_back, router, row):
    found = await history(3)
    _, before, bad = found.releases
    taken = await take_back(found, bad)
    assert taken.release
    assert (taken.release.release_id, taken.bad_release_id) == (before, bad)
    assert (await row(Route, found.environment_id)).targets == [{"release_id": str(before), "weight": 100}]
    environment = await row(Environment, found.environment_id)
    assert (environment.current_release_id, environment.previous_release_id) == (before, bad)
    assert [(await row(Release, release)).state for release in (before, bad)] == ["active", "retired"]
    [route] = [r for r in router.tables[-1].routes if r.environment_id == str(found.environment_id)]
    assert [(target.release_id, target.weight) for target in route.targets] == [(str(before), 100)]


async def test_done_again_after_a_crash_it_finds_what_it_did(history, take_back, router):
    found = await history(2)
    router.fault = ConnectionError("the worker died here")
    with pytest.raises(ApplicationError):
        await take_back(found, found.releases[1])
    router.fault = None
    taken = await take_back(found, found.releases[1])
    assert taken.release
    assert taken.release.release_id == found.releases[0]
    assert router.tables, "the route is in the router now"


async def test_never_onto_a_side_that_is_not_healthy_altogether(history, take_back, router, row):
    found = await history(2)
    router.healthy = 1
    assert await take_back(found, found.releases[1]) == TakenBack()
    assert (await row(Environment, found.environment_id)).current_release_id == found.releases[1]


async def test_with_the_lock_taken_it_takes_a_rollout(history, take_back, sessions):
    found = await history(2)
    async with transaction(sessions) as session:
        (await session.get_one(Environment, found.environment_id)).holder_deployment_id = found.releases[0]
    assert await take_back(found, found.releases[1]) == TakenBack()


async def test_a_stopped_release_takes_a_rollout(history, take_back, sessions):
    found = await history(2)
    async with transaction(sessions) as session:
        (await session.get_one(Release, found.releases[0])).state = "stopped"
    assert await take_back(found, found.releases[1]) == TakenBack()


async def test_never_to_a_release_that_was_taken_back_itself(history, take_back, sessions):
    found = await history(3)
    async with transaction(sessions) as session:
        (await session.get_one(Deployment, found.releases[1])).status = "rolled_back"
    taken = await take_back(found, found.releases[2])
    assert taken.release
    assert taken.release.release_id == found.releases[0]


async def test_one_that_nobody_retired_is_a_way_back_like_any_other(history, take_back, sessions):
    """The workflow that promoted the bad one was lost before it retired the one before."""
    found = await history(2)
    before, bad = found.releases
    async with transaction(sessions) as session:
        (await session.get_one(Release, before)).state = "active"
    request = ReopenRelease(place=found.place(bad))
    opened = await ActivityEnvironment().run(release_activities(sessions, None).reopen, request)
    assert opened.release.release_id == before
    async with transaction(sessions) as session:
        (await session.get_one(Environment, found.environment_id)).holder_deployment_id = None
    taken = await take_back(found, bad)
    assert taken.release
    assert taken.release.release_id == before


async def test_only_what_serves_can_be_taken_back(history, take_back):
    found = await history(2)
    with pytest.raises(ApplicationError) as refused:
        await take_back(found, found.releases[0])
    assert refused.value.type == "INVALID_STATE"


@pytest.fixture
def open_release(sessions):
    """Opens the release of a new deployment of a build."""

    async def run(found, deployment_id: UUID, build_id: UUID, command: str = "serve"):
        request = OpenRelease(
            place=found.place(deployment_id),
            build_id=build_id,
            artifact_digest="sha256:00",
            service=ServiceSpec(command=command, replicas=2),
        )
        return await ActivityEnvironment().run(release_activities(sessions, None).open, request)

    return run


def _as_opened(found) -> dict[str, object]:
    """The service section as the release holds it: probes come under the environment's host."""
    health = HealthSpec(host=found.place(found.releases[0]).host)
    return ServiceSpec(command="serve", replicas=2, health=health).model_dump(mode="json")


async def _deployment_of(sessions, found, build_id: UUID) -> UUID:
    """One more deployment, of a build that was deployed before."""
    async with transaction(sessions) as session:
        like = await session.get_one(Deployment, found.releases[0])
        columns = {c.key: getattr(like, c.key) for c in like.__table__.columns if not c.key.endswith("_at")}
        new = Deployment(**{**columns, "id": new_id(), "build_id": build_id, "status": "in_progress"})
        session.add(new)
        return new.id


async def test_a_kept_release_of_the_same_build_returns(history, open_release, sessions, row):
    found = await history(2)
    service = _as_opened(found)
    async with transaction(sessions) as session:
        (await session.get_one(Release, found.releases[0])).service = service
    again = await _deployment_of(sessions, found, found.builds[0])
    for _ in range(2):  # the second time after a crash
        opened = await open_release(found, again, found.builds[0])
        assert opened.returning
        assert opened.release.release_id == found.releases[0]
        assert opened.stable.release_id == found.releases[1]
    kept = await row(Release, found.releases[0])
    assert (kept.state, kept.deployment_id) == ("starting", found.releases[0])


async def _kept(sessions, found) -> UUID:
    """The first release is one that a deployment of its build takes back into service."""
    async with transaction(sessions) as session:
        release = await session.get_one(Release, found.releases[0])
        release.service = _as_opened(found)
    return await _deployment_of(sessions, found, found.builds[0])


async def test_a_return_that_is_not_finished_leaves_the_way_back_open(history, open_release, sessions, row):
    found = await history(2)
    old, bad = found.releases
    again = await _kept(sessions, found)
    assert (await open_release(found, again, found.builds[0])).returning
    async with transaction(sessions) as session:
        assert (await ReleaseRepository(session).before(await session.get_one(Release, bad))).id == old
        (await session.get_one(Deployment, again)).status = "cancelled"
    async with transaction(sessions) as session:
        await ReleaseRepository(session).move(old, ReleaseState.STOPPED)
        assert (await ReleaseRepository(session).before(await session.get_one(Release, bad))).id == old
    assert (await row(Release, old)).deployment_id == old


async def test_a_return_that_is_finished_is_its_deployments_release(history, open_release, sessions, row):
    found = await history(2)
    again = await _kept(sessions, found)
    opened = await open_release(found, again, found.builds[0])
    request = PromoteRelease(
        environment_id=found.environment_id, release_id=opened.release.release_id, deployment_id=again
    )
    for _ in range(2):
        await ActivityEnvironment().run(release_activities(sessions, None).promote, request)
    assert (await row(Release, found.releases[0])).deployment_id == again
    assert (await row(Environment, found.environment_id)).current_release_id == found.releases[0]


async def _until_blocked(sessions) -> None:
    """Until somebody waits for a row's lock in this database."""
    waiting = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    found = 0
    while not found:
        async with transaction(sessions) as session:
            found = await session.scalar(text(waiting)) or 0


async def test_a_rollout_that_gets_the_lock_meanwhile_stands_beside_what_serves_then(
    history, take_back, open_release, router, sessions
):
    found = await history(2)
    before, bad = found.releases
    new = await _deployment_of(sessions, found, found.builds[1])
    router.may_answer.clear()
    async with asyncio.timeout(120), asyncio.TaskGroup() as tasks:
        taking = tasks.create_task(take_back(found, bad))
        await router.looked.wait()
        opening = tasks.create_task(open_release(found, new, found.builds[1]))
        await _until_blocked(sessions)
        router.may_answer.set()
    assert taking.result().release.release_id == before
    assert opening.result().stable.release_id == before, "not the one that was just taken back"


async def test_done_again_after_a_crash_though_a_rollout_has_the_lock_by_now(history, take_back, router, sessions):
    found = await history(2)
    before, bad = found.releases
    router.fault = ConnectionError("the worker died here")
    with pytest.raises(ApplicationError):
        await take_back(found, bad)
    router.fault = None
    async with transaction(sessions) as session:
        (await session.get_one(Environment, found.environment_id)).holder_deployment_id = new_id()
    taken = await take_back(found, bad)
    assert taken.release
    assert (taken.release.release_id, taken.bad_release_id) == (before, bad)


@pytest.mark.parametrize(("swapped", "ends"), [(True, "rolled_back"), (False, "success")])
async def test_a_rollback_that_is_lost_ends_by_what_it_did(history, take_back, sessions, swapped, ends):
    found = await history(2)
    bad = found.releases[1]
    async with transaction(sessions) as session:
        deployment = await session.get_one(Deployment, bad)
        deployment.status, operation_id = "rolling_back", deployment.operation_id
    if swapped:
        await take_back(found, bad)
    async with transaction(sessions) as session:
        await ProjectionRepository(session).lost(operation_id, {"code": "ORCHESTRATION_LOST", "message": "it is gone"})
        assert (await session.get_one(Deployment, bad)).status == ends


@pytest.mark.parametrize("change", ["another service", "its time is over"])
async def test_otherwise_it_is_a_new_release(history, open_release, sessions, change):
    found = await history(2)
    service = _as_opened(found)
    async with transaction(sessions) as session:
        kept = await session.get_one(Release, found.releases[0])
        kept.service = {**service, "command": "other"} if change == "another service" else service
        if change == "its time is over":
            kept.stop_after = kept.created_at
    again = await _deployment_of(sessions, found, found.builds[0])
    opened = await open_release(found, again, found.builds[0])
    assert not opened.returning
    assert opened.release.release_id == again


async def test_the_same_build_deployed_twice_is_no_way_back(history, sessions, take_back):
    found = await history(3)
    good, twice, bad = found.releases
    async with transaction(sessions) as session:
        (await session.get_one(Release, twice)).build_id = found.builds[2]
    taken = await take_back(found, bad)
    assert taken.release
    assert taken.release.release_id == good
