"""What was decided to be ended is looked at again before each end, for one end takes as long as its requests."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from uuid import UUID

import pytest
from sqlalchemy import update
from structlog.testing import capture_logs

from activities.routing import RouteWriter
from reconcilers import environments
from reconcilers.environments import DesertedEnvironments
from runtime.ids import new_id, now
from storage.engine import transaction
from storage.models import Environment, Instance, Operation, Release


class Stopper:
    """Remembers what it was asked to stop; while it stops the first one, something else happens."""

    def __init__(self, meanwhile: Callable[[UUID], Awaitable[None]]) -> None:
        self.stopped: list[UUID] = []
        self._meanwhile = meanwhile

    async def stop(self, release_id: UUID, *, keep: int) -> None:
        assert keep == 0
        self.stopped.append(release_id)
        if len(self.stopped) == 1:
            await self._meanwhile(release_id)


class Router:
    async def apply(self, table, *, readiness, over):
        """Taken as it is."""
        return ()

    async def mark(self) -> str:
        return ""


@pytest.fixture
def look(sessions):
    """One pass of a reconciler whose stopper is given."""

    async def run(stopper: Stopper) -> None:
        deserted = DesertedEnvironments(sessions, stopper, RouteWriter(sessions, Router()))
        await deserted.reconcile()
        await deserted.close()

    return run


@pytest.fixture
def left_behind(history, sessions):
    """Two environments without anything under way, whose first release is in this state; releases by environment."""

    async def make(state: str) -> dict[UUID, UUID]:
        made = [await history(2) for _ in range(2)]
        async with transaction(sessions) as session:
            await session.execute(update(Operation).values(status="completed"))
            for found in made:
                release = await session.get_one(Release, found.releases[0])
                release.state, release.stop_after = state, None
                release.updated_at = now() - timedelta(minutes=5)
                where = {"release_id": release.id, "address": "127.0.0.1", "port": 9000}
                session.add(Instance(id=f"{release.id}-0", index=0, **where))
        return {found.environment_id: found.releases[0] for found in made}

    return make


@pytest.fixture
def take_back_into_service(sessions):
    """A rollback in an environment: it holds the turn and brings the release up."""

    async def run(environment_id: UUID, release_id: UUID) -> None:
        async with transaction(sessions) as session:
            environment = await session.get_one(Environment, environment_id)
            names = {"organization_id": environment.organization_id, "project_id": environment.project_id}
            work = Operation(
                id=new_id(),
                **names,
                kind="rollback",
                status="in_progress",
                requested_by="me",
                resource_id=environment.current_release_id,
            )
            session.add(work)
            environment.holder_deployment_id = environment.current_release_id
            (await session.get_one(Release, release_id)).state = "starting"

    return run


@pytest.mark.parametrize("state", ["starting", "stopped"])
async def test_a_release_that_is_wanted_again_meanwhile_is_left_alone(
    *, left_behind, look, take_back_into_service, sessions, state, monkeypatch
):
    monkeypatch.setattr(environments, "STOPS_AT_ONCE", 1)  # so that ending the first comes before the second
    monkeypatch.setattr(environments, "STOPS_OF_ONE", None)  # whosever it is
    releases = await left_behind(state)
    chosen: list[UUID] = []

    async def wanted_again(first: UUID) -> None:
        environment_id, release_id = next(item for item in releases.items() if item[1] != first)
        chosen.append(environment_id)
        await take_back_into_service(environment_id, release_id)

    stopper = Stopper(wanted_again)
    await look(stopper)
    [environment_id] = chosen
    assert releases[environment_id] not in stopper.stopped
    async with transaction(sessions) as session:
        environment = await session.get_one(Environment, environment_id)
        assert environment.holder_deployment_id == environment.current_release_id
        assert (await session.get_one(Release, releases[environment_id])).state == "starting"
        [other] = [release for release in releases.values() if release != releases[environment_id]]
        assert (await session.get_one(Release, other)).state == "stopped"


@pytest.mark.parametrize("state", ["starting", "stopped"])
async def test_one_that_cannot_be_stopped_and_one_that_hangs_hold_up_nobody(left_behind, look, state):
    """What is over is stopped though its neighbours fail; so is everything that comes after that."""
    releases = [*(await left_behind(state)).values(), *(await left_behind(state)).values()]
    order: list[UUID] = []

    class Unlucky(Stopper):
        async def stop(self, release_id: UUID, *, keep: int) -> None:
            if release_id in releases:
                order.append(release_id)
            if order[0:1] == [release_id]:
                raise RuntimeError("a fault of ours")
            if order[1:2] == [release_id]:
                await asyncio.Event().wait()
            self.stopped.append(release_id)

    stopper = Unlucky(nothing)
    with capture_logs():  # to render the fault for people takes seconds
        await look(stopper)
    assert set(order) == set(releases)
    assert set(stopper.stopped) & set(releases) == set(order[2:])


async def nothing(_: UUID) -> None:
    pass


async def test_what_is_over_is_stopped_though_the_clock_was_set_back_meanwhile(left_behind, look, sessions):
    """It was waited for until the clock came there again: an hour with two versions running."""
    releases = list((await left_behind("stopped")).values())
    async with transaction(sessions) as session:
        ours = update(Release).where(Release.id.in_(releases))
        await session.execute(ours.values(updated_at=now() + timedelta(hours=1)))
    stopper = Stopper(nothing)
    await look(stopper)
    assert set(releases) <= set(stopper.stopped)
