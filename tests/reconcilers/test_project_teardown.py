"""Bringing a removal into the world: routes first, then the instances; whoever dies meanwhile."""

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID

import pytest
from sqlalchemy import select, update
from structlog.testing import capture_logs

from activities.instances import InstanceStopper
from activities.recovery import instance_id
from activities.routing import RouteWriter
from domain.errors import DependencyError
from domain.routing import Endpoint, RoutingTable
from drivers.routers.base import EndpointHealth
from reconcilers.project_teardown import ProjectTeardown
from runtime.ids import now
from storage.engine import transaction
from storage.models import Environment, Instance, Project, Release
from storage.repositories.project_removal import ProjectRemovalRepository
from storage.repositories.releases import InstanceRepository
from tests.support.waiting import until


class World:
    """A router and a target that write down what they are asked, in order; and a bell that nobody rings."""

    def __init__(self) -> None:
        self.done: list[str] = []
        self.hosts: set[str] | None = None
        self.busy = 0
        self.faults: list[Exception] = []
        self.hanging: set[str] = set()
        self.broken: set[str] = set()

    async def apply(self, table: RoutingTable, *, readiness: object, over: str) -> tuple[()]:
        if self.faults:
            raise self.faults.pop()
        self.done.append("apply")
        self.hosts = {route.host for route in table.routes}
        return ()

    async def mark(self) -> str:
        return ""

    async def endpoint_health(self, release_id: str) -> Sequence[EndpointHealth]:
        return [EndpointHealth(Endpoint("127.0.0.1", 9000), True, self.busy)]

    async def stop(self, name: str) -> None:
        if name in self.hanging:
            await asyncio.Event().wait()
        if name in self.broken:
            raise OSError("its folder is gone")
        self.done.append("stop")

    async def end_command(self, command_id: str, *, keep_end: bool = False) -> None:
        self.done.append("end command")

    async def wait(self, seconds: float) -> bool:
        await asyncio.sleep(0.02)
        return False


@pytest.fixture
def world():
    return World()


@pytest.fixture
def teardown(sessions, world):
    writer = RouteWriter(sessions, world)
    return ProjectTeardown(sessions, InstanceStopper(sessions, world, world, writer), writer, world)


@pytest.fixture
def patient(sessions, world):
    """One whose passes wait for what they begin."""
    writer = RouteWriter(sessions, world)
    return ProjectTeardown(sessions, InstanceStopper(sessions, world, world, writer), writer, world, wait_s=None)


@pytest.fixture
def removed(sessions, history):
    """A project whose one live release has an instance, deleted by the rows."""

    async def make(status: str = "deleted") -> UUID:
        found = await history(1)
        [release] = found.releases
        async with transaction(sessions) as session:
            await InstanceRepository(session).put(
                instance_id=instance_id(release, 0), release_id=release, index=0, address="127.0.0.1", port=9000
            )
            await InstanceRepository(session).rotate(release, below=1)
            assert await ProjectRemovalRepository(session).end_services(found.project_id) == [release]
            await session.execute(update(Project).where(Project.id == found.project_id).values(status=status))
        return release

    return make


async def instances(sessions, release: UUID) -> int:
    async with transaction(sessions) as session:
        found = await session.scalars(select(Instance.id).where(Instance.release_id == release))
        return len(found.all())


async def environment_of(sessions, release: UUID) -> UUID:
    async with transaction(sessions) as session:
        return (await session.get_one(Release, release)).environment_id


async def looked(teardown: ProjectTeardown, *, woken: bool = False) -> None:
    teardown.woken = woken
    await teardown.reconcile()


async def test_routes_first_then_drained_then_stopped(*, sessions, world, teardown, removed):
    release = await removed()
    world.busy = 1
    await looked(teardown)
    assert world.done == ["apply"]
    assert f"{await environment_of(sessions, release)}.localhost" not in world.hosts
    await looked(teardown)  # while it drains nobody begins again
    world.busy = 0
    async with asyncio.timeout(120):
        while await instances(sessions, release):  # noqa: ASYNC110 - the database tells
            await asyncio.sleep(0.02)
    assert world.done.count("stop") == 1
    assert await instances(sessions, release) == 0
    world.done.clear()
    await looked(teardown)
    assert world.done == []


async def test_what_two_workers_stop_at_the_same_time_is_counted_once(*, sessions, world, removed):
    writer = RouteWriter(sessions, world)
    stopper = InstanceStopper(sessions, world, world, writer)
    workers = [ProjectTeardown(sessions, stopper, writer, world, wait_s=None) for _ in range(2)]
    await removed()
    world.busy = 1
    passes = [asyncio.create_task(each.reconcile()) for each in workers]
    await until(lambda: all(each._stopping.under_way for each in workers))
    world.busy = 0
    assert sorted(await asyncio.gather(*passes)) == [0, 1]


async def test_whoever_looks_next_goes_on(*, sessions, world, teardown, removed):
    """A worker that died after the commit left nothing but rows; its successor begins with a look."""
    release = await removed()
    world.faults = [DependencyError("Envoy is away")]
    task = asyncio.create_task(teardown.run())
    async with asyncio.timeout(120):
        while await instances(sessions, release):  # noqa: ASYNC110 - the database tells, nobody sets an event
            await asyncio.sleep(0.02)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert world.done[0] == "apply"
    assert "stop" in world.done


async def test_routes_are_applied_when_nothing_runs_any_more(world, patient):
    await looked(patient, woken=True)
    assert world.done == ["apply"]


async def test_a_restored_project_is_cleared_all_the_same(*, sessions, world, patient, removed):
    release = await removed("active")
    await looked(patient)
    assert await instances(sessions, release) == 1  # others may be about to stop it
    async with transaction(sessions) as session:
        late = now() - timedelta(minutes=1)
        await session.execute(update(Release).where(Release.id == release).values(updated_at=late))
    await looked(patient)
    assert await instances(sessions, release) == 0


async def test_what_serves_is_left_alone(*, sessions, world, patient, history):
    found = await history(2)
    async with transaction(sessions) as session:
        for release in found.releases:
            await InstanceRepository(session).put(
                instance_id=instance_id(release, 0), release_id=release, index=0, address="127.0.0.1", port=9000
            )
    await looked(patient)
    assert world.done == []
    async with transaction(sessions) as session:
        row = await session.get_one(Environment, found.environment_id)
        assert row.current_release_id == found.releases[-1]


async def test_cancelled_it_stops_at_once(*, world, teardown, removed):
    await removed()
    world.busy = 1
    task = asyncio.create_task(teardown.run())
    await until(lambda: "apply" in world.done)
    task.cancel()
    async with asyncio.timeout(120):
        await asyncio.gather(task, return_exceptions=True)
    assert "stop" not in world.done


async def test_one_that_cannot_be_stopped_and_one_that_hangs_hold_up_nobody(*, sessions, world, teardown, removed):
    broken, hanging, good = [await removed() for _ in range(3)]
    world.broken.add(instance_id(broken, 0))
    world.hanging.add(instance_id(hanging, 0))
    with capture_logs():  # to render the fault for people takes seconds
        task = asyncio.create_task(teardown.run())
        async with asyncio.timeout(120):
            while await instances(sessions, good):  # noqa: ASYNC110 - the database tells
                await asyncio.sleep(0.02)
        another = await removed()
        async with asyncio.timeout(120):
            while await instances(sessions, another):  # noqa: ASYNC110 - the database tells
                await asyncio.sleep(0.02)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    assert [await instances(sessions, release) for release in (broken, hanging)] == [1, 1]
