"""The timeline of deployments: written with its cause, once even if that is retried."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Float, Integer, cast, delete, func, literal, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from domain.timeline import Kind
from storage.models import Environment, TimelineEntry

# Maximum per deployment. Beyond it, samples are thinned out so that they are evenly spaced again.
MAX_SAMPLES = 400
# Maximum number of notes; the plan and people's actions also bound them.
MAX_NOTES = 500


class TimelineRepository:
    """The timeline entries of deployments; readers have checked the tenant."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def sample(self, deployment_id: UUID, analysis: str, at: datetime, data: dict[str, Any]) -> None:
        """Store a measurement of an analysis; another one of the same second replaces it."""
        values = {"at": at, "data": {"analysis": analysis, **data}}
        statement = insert(TimelineEntry).values(
            deployment_id=deployment_id, kind=Kind.SAMPLE, key=f"{analysis}@{int(at.timestamp())}", **values
        )
        await self._session.execute(
            statement.on_conflict_do_update(index_elements=["deployment_id", "kind", "key"], set_=values)
        )
        count = select(func.count()).where(*self._samples(deployment_id))
        if (await self._session.scalar(count) or 0) > MAX_SAMPLES:
            await self._thin(deployment_id)

    async def note(self, deployment_id: UUID, kind: Kind, key: str, data: dict[str, Any]) -> None:
        """Store that something happened now, unless it is stored already."""
        statement = insert(TimelineEntry).values(deployment_id=deployment_id, kind=kind, key=key, data=data)
        await self._session.execute(statement.on_conflict_do_nothing())

    async def weights(self, environment_id: UUID, generation: int, targets: Sequence[tuple[UUID, int]]) -> None:
        """Store an environment's new weights, for the deployment in rollout there, if any."""
        shares = {"targets": [{"release_id": str(release), "weight": weight} for release, weight in targets]}
        holder = (Environment.id == environment_id) & Environment.holder_deployment_id.is_not(None)
        newest = (
            select(TimelineEntry.data)
            .where(TimelineEntry.deployment_id == Environment.holder_deployment_id, TimelineEntry.kind == Kind.WEIGHT)
            .order_by(TimelineEntry.at.desc(), TimelineEntry.key.desc())
            .limit(1)
            .scalar_subquery()
        )
        shared = cast(literal(shares, TimelineEntry.data.type), TimelineEntry.data.type)
        rows = select(
            Environment.holder_deployment_id, literal(str(Kind.WEIGHT)), literal(f"{generation:020}"), shared
        ).where(holder, newest.is_distinct_from(shared))
        statement = insert(TimelineEntry).from_select(["deployment_id", "kind", "key", "data"], rows)
        await self._session.execute(statement.on_conflict_do_nothing())

    async def samples(self, deployment_id: UUID) -> Sequence[TimelineEntry]:
        """Oldest first."""
        statement = select(TimelineEntry).where(*self._samples(deployment_id))
        return list(await self._session.scalars(statement.order_by(TimelineEntry.at, TimelineEntry.key)))

    async def notes(self, deployment_id: UUID) -> Sequence[TimelineEntry]:
        """The newest `MAX_NOTES`, oldest first."""
        statement = select(TimelineEntry).where(
            TimelineEntry.deployment_id == deployment_id, TimelineEntry.kind != Kind.SAMPLE
        )
        newest = statement.order_by(TimelineEntry.at.desc(), TimelineEntry.key.desc()).limit(MAX_NOTES)
        return list(reversed(list(await self._session.scalars(newest))))

    async def _thin(self, deployment_id: UUID) -> None:
        """Keep the last sample of each of `MAX_SAMPLES` / 2 equal parts of the time."""
        begin, end = (
            await self._session.execute(
                select(func.min(TimelineEntry.at), func.max(TimelineEntry.at)).where(*self._samples(deployment_id))
            )
        ).one()
        part_s = max(1.0, (end - begin).total_seconds() / (MAX_SAMPLES / 2))
        part = cast(func.extract("epoch", TimelineEntry.at - begin).cast(Float) / part_s, Integer)
        ranked = (
            select(
                TimelineEntry.key,
                func.row_number().over(partition_by=part, order_by=TimelineEntry.at.desc()).label("place"),
            )
            .where(*self._samples(deployment_id))
            .subquery()
        )
        spare = select(ranked.c.key).where(ranked.c.place > 1)
        await self._session.execute(
            delete(TimelineEntry).where(*self._samples(deployment_id), TimelineEntry.key.in_(spare))
        )

    @staticmethod
    def _samples(deployment_id: UUID) -> tuple[Any, ...]:
        return (TimelineEntry.deployment_id == deployment_id, TimelineEntry.kind == Kind.SAMPLE)
