import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence

import pytest
from sqlalchemy import delete, update

from activities import routing
from activities.routing import RouteWriter
from domain.errors import DependencyError, ErrorCode, TerminalError
from domain.routing import Rejection, RoutingTable
from drivers.routers.base import EndpointHealth, HeldBackError, ReadinessRule, TrafficCounters
from reconcilers.routes import AppliedRoutes
from storage.engine import Sessions, transaction
from storage.models import RoutingGeneration
from storage.repositories.routing import RoutingRepository
from tests.support.waiting import until


class PartlyReadyRouter:
    """Takes every table, but holds back the releases in `bad`."""

    def __init__(self, *bad: str) -> None:
        self.bad = set(bad)
        self.tables: list[RoutingTable] = []
        self.asked: list[ReadinessRule] = []
        self.busy = False
        self.fault: Exception | None = None
        self.rejects: tuple[Rejection, ...] = ()
        self.settled = True

    async def apply(
        self,
        table: RoutingTable,
        *,
        timeout_s: float = 15,
        readiness: ReadinessRule | None = None,
        over: str | None = None,
    ) -> Sequence[Rejection]:
        assert timeout_s
        assert readiness
        assert over == await self.mark()
        if self.fault:
            raise self.fault
        assert not self.busy, "two writers at once"
        self.busy = True
        await asyncio.sleep(0)
        self.busy = False
        self.tables.append(table)
        self.asked.append(readiness)
        if self.bad:
            raise HeldBackError(sorted(self.bad), self.rejects)
        return self.rejects

    async def mark(self) -> str:
        return str(len(self.tables))

    async def is_settled(self, generation: int) -> bool:
        return self.settled and await self.applied_generation() == generation

    async def applied_generation(self) -> int | None:
        return self.tables[-1].generation if self.tables else None

    async def endpoint_health(self, release_id: str) -> Sequence[EndpointHealth]:
        raise NotImplementedError(release_id)

    async def all_health(self) -> Mapping[str, Sequence[EndpointHealth]]:
        raise NotImplementedError

    async def counters(self, release_ids: Sequence[str]) -> Sequence[TrafficCounters]:
        raise NotImplementedError(release_ids)

    async def close(self) -> None:
        pass


@pytest.fixture
async def generation(sessions: Sessions) -> AsyncIterator[int]:
    """Of a change that is committed."""
    yield await _change(sessions)
    async with transaction(sessions) as session:
        await session.execute(delete(RoutingGeneration))


async def _change(sessions: Sessions) -> int:
    async with transaction(sessions) as session:
        return await RoutingRepository(session).touch()


async def test_who_waits_for_a_release_holds_up_nobody_else(sessions: Sessions, generation: int) -> None:
    router = PartlyReadyRouter("warming")
    writer = RouteWriter(sessions, router)
    waiting = asyncio.create_task(writer.apply(needing=["warming"]))
    for _ in range(3):
        change = await _change(sessions)
        assert await writer.apply(needing=["other"]) == change
        assert router.tables[-1].generation == change
    assert not waiting.done()
    router.bad.clear()
    assert await waiting == change


async def test_a_release_that_stays_bad_fails_those_who_need_it(
    sessions: Sessions, generation: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(routing, "PATIENCE_FOR_ALL_S", 0.3)
    monkeypatch.setattr(routing, "PATIENCE_S", 1.0)
    router = PartlyReadyRouter("broken", "worse")
    writer = RouteWriter(sessions, router)
    with pytest.raises(HeldBackError) as caught:
        await writer.apply(needing=["broken", "fine"])
    assert caught.value.release_ids == {"broken"}
    assert (router.asked[0].every_endpoint, router.asked[-1].every_endpoint) == (True, False)
    assert await writer.apply(needing=["fine"]) == generation


async def test_many_callers_share_one_application(sessions: Sessions, generation: int) -> None:
    router = PartlyReadyRouter()
    writer = RouteWriter(sessions, router)
    changes = [generation, *[await _change(sessions) for _ in range(9)]]
    assert set(await asyncio.gather(*(writer.apply() for _ in changes))) == {max(changes)}
    assert [table.generation for table in router.tables] == [max(changes)]
    await writer.apply()
    assert len(router.tables) == 2


async def test_what_is_held_back_is_not_forgotten_when_the_router_goes_away(
    sessions: Sessions, generation: int
) -> None:
    """Somebody else finds the router away; who waits for a release must not take that for its being live."""
    router = PartlyReadyRouter("warming")
    writer = RouteWriter(sessions, router)
    waiting = asyncio.create_task(writer.apply(needing=["warming"]))
    await until(lambda: bool(router.tables))
    router.fault = DependencyError("the router is away")
    with pytest.raises(DependencyError):
        await writer.apply()
    with pytest.raises(DependencyError):
        await waiting


async def test_a_rejected_row_fails_those_who_need_it_and_nobody_else(sessions: Sessions, generation: int) -> None:
    router = PartlyReadyRouter()
    router.rejects = (Rejection("the health path is no path", frozenset({"poison"}), "p.localhost"),)
    writer = RouteWriter(sessions, router)
    assert await writer.apply(needing=["other"]) == generation
    with pytest.raises(TerminalError, match="the health path is no path") as caught:
        await writer.apply(needing=["poison"])
    assert caught.value.code is ErrorCode.ROUTE_REJECTED
    router.bad.add("warming")
    with pytest.raises(TerminalError):
        await writer.apply(needing=["poison"])
    router.bad.clear()
    router.rejects = ()
    assert await writer.apply(needing=["poison"]) == generation


async def test_a_restored_database_with_a_lower_generation_is_applied(sessions: Sessions, generation: int) -> None:
    """By the change that comes next, and by the reconciler without one."""
    router = PartlyReadyRouter()
    writer = RouteWriter(sessions, router)
    for _ in range(3):
        await _change(sessions)
    await writer.apply()
    async with transaction(sessions) as session:
        await session.execute(update(RoutingGeneration).values(generation=1))
    assert await writer.apply(needing=["other"]) == 1
    routes = AppliedRoutes(sessions, router, writer)
    await routes.reconcile()
    async with transaction(sessions) as session:
        await session.execute(delete(RoutingGeneration))
    assert await routes.reconcile()
    assert router.tables[-1].generation == 0


async def test_the_reconciler_applies_at_its_start_and_then_only_what_is_not_applied(
    sessions: Sessions, generation: int
) -> None:
    router = PartlyReadyRouter()
    routes = AppliedRoutes(sessions, router, RouteWriter(sessions, router))
    assert [await routes.reconcile() for _ in range(3)] == [1, 0, 0]
    router.settled = False  # its files are gone
    assert await routes.reconcile()
    router.settled = True
    await _change(sessions)
    assert [await routes.reconcile() for _ in range(2)] == [1, 0]
    router.fault = DependencyError("the router is away")
    router.settled = False
    with pytest.raises(DependencyError):
        await routes.reconcile()
