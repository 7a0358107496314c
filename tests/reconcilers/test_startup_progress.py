"""Services on their way back after a start are counted truthfully, and not waited for longer than they deserve."""

from collections.abc import Mapping, Sequence

import pytest

from domain.routing import Endpoint
from drivers.routers.base import EndpointHealth
from reconcilers.startup_progress import KNOWN_LIMIT_S, LIMIT_S, StartupProgress
from runtime.returning import Returning
from storage.engine import transaction
from storage.models import Environment, Instance


class Seeing(dict[str, Sequence[EndpointHealth]]):
    """A router that sees the first `healthy` of this release's two instances, and all of everybody else's."""

    def __init__(self, release_id: object, healthy: int) -> None:
        self._release_id = str(release_id)
        self.healthy = healthy

    async def all_health(self) -> Mapping[str, Sequence[EndpointHealth]]:
        return self

    def get(self, release_id, default=None):
        healthy = self.healthy if release_id == self._release_id else 2
        return [EndpointHealth(Endpoint("127.0.0.1", 9000 + n), n < healthy, 0) for n in range(2)]


@pytest.fixture
async def live(history, sessions):
    """An environment whose release is live, with two instances in rotation."""
    found = await history(1)
    async with transaction(sessions) as session:
        for index in range(2):
            where = {"address": "127.0.0.1", "port": 9000 + index, "in_rotation": True}
            session.add(Instance(id=f"{found.releases[0]}-{index}", release_id=found.releases[0], index=index, **where))
    return found


@pytest.fixture
def path(tmp_path):
    return tmp_path / "services.json"


class Pass:
    """Passes at moments after the first one; whether some services are still coming back."""

    def __init__(self, sessions, router, path) -> None:
        self._now = 0.0
        self._progress = StartupProgress(sessions, router, path, clock=lambda: self._now)

    async def after(self, seconds: float) -> bool:
        self._now = seconds
        assert await self._progress.reconcile() == 0
        return not self._progress.is_over


async def test_they_come_back_until_one_instance_of_each_takes_traffic(live, sessions, path):
    router = Seeing(live.releases[0], 0)
    progress = Pass(sessions, router, path)
    assert await progress.after(0)
    told = Returning.load(path)
    assert (told.serving, told.coming_back, told.is_under_way) == (told.total - 1, True, True)
    assert told.words == f"1 services coming back: {told.total - 1} of {told.total} serve"
    router.healthy = 1
    assert not await progress.after(0)
    told = Returning.load(path)
    assert (told.serving, told.coming_back) == (told.total, False)
    assert told.words == f"all {told.total} services serve"


async def test_what_was_degraded_before_is_not_waited_for_as_long(live, sessions, path):
    async with transaction(sessions) as session:
        environment = await session.get_one(Environment, live.environment_id)
        environment.degraded_release_id = live.releases[0]
    progress = Pass(sessions, Seeing(live.releases[0], 0), path)
    assert await progress.after(0)
    assert not await progress.after(KNOWN_LIMIT_S)
    told = Returning.load(path)
    assert told.serving == told.total - 1
    assert "say why they do not" in told.words


async def test_after_its_time_it_is_broken_and_not_coming_back(live, sessions, path):
    progress = Pass(sessions, Seeing(live.releases[0], 0), path)
    assert await progress.after(0)
    async with transaction(sessions) as session:  # the world is told meanwhile; it comes back all the same
        environment = await session.get_one(Environment, live.environment_id)
        environment.degraded_release_id = live.releases[0]
    assert await progress.after(KNOWN_LIMIT_S)
    assert not await progress.after(LIMIT_S)
    assert not Returning.load(path).is_under_way


async def test_words_of_a_worker_that_died_do_not_count(path):
    Returning(3, 1, coming_back=True, at=1.0).save(path)
    assert not Returning.load(path).is_under_way
    path.write_text("{")
    assert Returning.load(path) is None
