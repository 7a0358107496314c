"""What is live and does not serve with all of its instances has one event, and another one after it has recovered."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from uuid import UUID

import pytest
from sqlalchemy import event, select, text
from structlog.testing import capture_logs

from domain.errors import DependencyError
from domain.routing import Endpoint
from drivers.routers.base import EndpointHealth
from reconcilers.health import EnvironmentHealth
from storage.engine import transaction
from storage.models import Environment, Event, Instance


class Seeing:
    """A router that sees so many of a release's two instances healthy; None: it does not answer. Counts questions."""

    def __init__(self) -> None:
        self.healthy: dict[str, int | None] = {}
        self.asked = 0

    async def all_health(self) -> Mapping[str, Sequence[EndpointHealth]]:
        self.asked += 1
        if None in self.healthy.values():
            raise DependencyError("the router does not answer")
        return {name: self._places(healthy) for name, healthy in self.healthy.items()}

    @staticmethod
    def _places(healthy: int | None) -> list[EndpointHealth]:
        return [EndpointHealth(Endpoint("127.0.0.1", 9000 + n), n < (healthy or 0), 0) for n in range(2)]


@pytest.fixture
async def live(history, sessions):
    """An environment whose second release is live, with two instances in rotation."""
    found = await history(2)
    async with transaction(sessions) as session:
        for release in found.releases:
            for index in range(2):
                where = {"address": "127.0.0.1", "port": 9000 + index, "in_rotation": True}
                session.add(Instance(id=f"{release}-{index}", release_id=release, index=index, **where))
    return found


@pytest.fixture
def router():
    return Seeing()


@pytest.fixture
def events_of(sessions):
    async def read(found) -> list[dict]:
        wanted = select(Event).where(Event.resource_id == found.environment_id, Event.type == "environment.degraded")
        async with transaction(sessions) as session:
            return [event.payload for event in await session.scalars(wanted.order_by(Event.sequence))]

    return read


async def look(watch: EnvironmentHealth, times: int = 2) -> None:
    for _ in range(times):
        with suppress(DependencyError):
            await watch.reconcile()


async def test_what_lasts_has_one_event_of_all_workers(live, sessions, router, events_of):
    watches = [EnvironmentHealth(sessions, router) for _ in range(2)]
    router.healthy[str(live.releases[-1])] = 1
    await look(watches[0], times=1)
    assert await events_of(live) == []
    for watch in watches:
        await look(watch, times=3)
    [payload] = await events_of(live)
    environment = payload["environment"]
    assert (environment["instances_wanted"], environment["instances_healthy"]) == (2, 1)
    assert environment["current_release"]["release_id"] == str(live.releases[-1])
    assert (environment["current_release"]["version_tag"], environment["name"]) == ("1.0.2", "dev")


async def test_a_moment_is_no_degradation_and_neither_is_a_router_that_is_away(live, sessions, router, events_of):
    watch, name = EnvironmentHealth(sessions, router), str(live.releases[-1])
    for seen in (1, 2, 1, 2, None, None, None):
        router.healthy[name] = seen
        await look(watch, times=1)
    assert await events_of(live) == []


async def test_after_it_has_recovered_it_has_an_event_again(live, sessions, router, events_of):
    watch, name = EnvironmentHealth(sessions, router), str(live.releases[-1])
    for seen in (0, 2, 1):
        router.healthy[name] = seen
        await look(watch)
    assert [payload["environment"]["instances_healthy"] for payload in await events_of(live)] == [0, 1]


async def test_another_release_has_an_event_of_its_own(live, sessions, router, events_of):
    watch = EnvironmentHealth(sessions, router)
    router.healthy |= {str(release): 1 for release in live.releases}
    await look(watch)
    async with transaction(sessions) as session:
        row = await session.get_one(Environment, live.environment_id)
        row.current_release_id = live.releases[0]
    await look(watch)
    seen = [UUID(payload["environment"]["current_release"]["release_id"]) for payload in await events_of(live)]
    assert seen == [live.releases[-1], live.releases[0]]


async def test_the_router_is_asked_once_a_pass_however_many_environments_there_are(
    history, sessions, router, events_of
):
    """And one environment that cannot be written down does not end the look."""
    made = [await history(1) for _ in range(12)]
    async with transaction(sessions) as session:
        for found in made:
            [release] = found.releases
            for index in range(2):
                where = {"address": "127.0.0.1", "port": 9000 + index, "in_rotation": True}
                session.add(Instance(id=f"{release}-{index}", release_id=release, index=index, **where))
    router.healthy = {str(found.releases[0]): 1 for found in made}
    watch = EnvironmentHealth(sessions, router)
    reads = Reads(sessions)
    with reads.counted():
        await watch.reconcile()
    assert (router.asked, reads.statements) == (1, 1)
    broken = min(made, key=lambda found: found.environment_id)
    async with transaction(sessions) as session:
        await session.execute(text(REFUSE.format(broken.environment_id)))
    try:
        with capture_logs():  # to render the fault for people takes seconds
            await watch.reconcile()
    finally:
        async with transaction(sessions) as session:
            await session.execute(text("ALTER TABLE environments DROP CONSTRAINT poisoned"))
    assert router.asked == 2
    assert [len(await events_of(found)) for found in made] == [found is not broken for found in made]


REFUSE = """ALTER TABLE environments ADD CONSTRAINT poisoned
    CHECK (id <> '{}' OR degraded_release_id IS NULL)"""


class Reads:
    """Statements that read the health of what is live."""

    def __init__(self, sessions) -> None:
        self._engine = sessions.kw["bind"].sync_engine
        self.statements = 0

    @contextmanager
    def counted(self) -> Iterator[None]:
        def count(_connection, _cursor, statement, *_rest) -> None:
            self.statements += statement.startswith("SELECT environments")

        event.listen(self._engine, "before_cursor_execute", count)
        try:
            yield
        finally:
            event.remove(self._engine, "before_cursor_execute", count)
