"""Whether the live release serves with all its instances, and whether its degradation was reported (all tenants)."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from storage.models import Environment, Instance, Release
from storage.repositories.event_writer import EventWriter


@dataclass(frozen=True)
class LiveRelease:
    """The release with an environment's traffic. `places`: address and port of its instances in rotation."""

    environment_id: UUID
    release_id: UUID
    is_told: bool
    places: frozenset[tuple[str, int]]


class HealthRepository:
    """Reads live releases; writes, under the environment's lock, when one becomes degraded or recovers."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def live(self) -> Sequence[LiveRelease]:
        """Every environment's current release that has instances in rotation."""
        statement = (
            select(Environment, Instance)
            .join(Instance, Instance.release_id == Environment.current_release_id)
            .where(Instance.in_rotation)
            .order_by(Environment.id)
        )
        places: dict[UUID, set[tuple[str, int]]] = defaultdict(set)
        environments: dict[UUID, Environment] = {}
        for environment, instance in await self._session.execute(statement):
            environments[environment.id] = environment
            places[environment.id].add((instance.address, instance.port))
        return [_live(row, places[row.id]) for row in environments.values()]

    async def degraded(self, live: LiveRelease, *, healthy: int) -> bool:
        """Record and report that a live release has too few healthy instances, unless it was reported or replaced."""
        row = await self._locked(live)
        if row is None or row.degraded_release_id == live.release_id:
            return False
        row.degraded_release_id = live.release_id
        await self._session.flush()
        await self._session.refresh(row)
        release = await self._session.get_one(Release, live.release_id)
        writer = EventWriter(self._session)
        await writer.environment_degraded(row, release, wanted=len(live.places), healthy=healthy)
        return True

    async def recovered(self, live: LiveRelease) -> None:
        """All its instances are healthy: the next degradation is reported again."""
        row = await self._locked(live)
        if row is not None:
            row.degraded_release_id = None

    async def _locked(self, live: LiveRelease) -> Environment | None:
        statement = select(Environment).where(
            Environment.id == live.environment_id, Environment.current_release_id == live.release_id
        )
        return await self._session.scalar(statement.with_for_update(key_share=True))


def _live(row: Environment, places: set[tuple[str, int]]) -> LiveRelease:
    release_id = row.current_release_id
    if release_id is None:
        raise AssertionError("joined by it")
    return LiveRelease(row.id, release_id, row.degraded_release_id == release_id, frozenset(places))
