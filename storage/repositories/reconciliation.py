"""The wanted state, for the reconcilers that compare it with the actual state."""

from collections.abc import Collection, Sequence
from uuid import UUID

from sqlalchemy import ColumnElement, Exists, and_, case, func, or_, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import InstrumentedAttribute

from domain.delivery_spec import ServiceSpec
from domain.lifecycle import FINISHED_OPERATIONS, ReleaseState
from domain.procfile import WEB
from storage.models import Deployment, Environment, Instance, Operation, Project, Release, Route
from storage.repositories.projections import FUTURE
from storage.repositories.projects import DELETED

SERVING = (ReleaseState.ACTIVE, ReleaseState.RETIRED)
ENDED = (ReleaseState.STOPPED, ReleaseState.FAILED)


class KeepingRepository:
    """Reads of all tenants."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def instances_to_run(self) -> Sequence[tuple[Instance, UUID]]:
        """Every instance that is wanted, with its organization; those that serve users first.

        Of releases that serve or are kept for a rollback, and of those in rollout: starting, paused, in analysis or on
        a preview. One in rollout without an operation is `abandoned`. Of kept releases only instances that could take
        traffic: workers of two versions must not run side by side.
        """
        of_release = select(Instance, Release.organization_id).join(Release, Release.id == Instance.release_id)
        first = case((Release.state == ReleaseState.ACTIVE, 0), (Release.state == ReleaseState.STARTING, 1), else_=2)
        found = await self._session.execute(of_release.where(_wanted()).order_by(first, Instance.id))
        return [(instance, organization_id) for instance, organization_id in found]

    async def claim_wanted(self, instance_id: str) -> tuple[Release, Instance] | None:
        """An instance with its release, which is locked, if it is still wanted and no operation is changing it."""
        statement = (
            select(Release, Instance)
            .join(Instance, Instance.release_id == Release.id)
            .where(Instance.id == instance_id, _wanted())
            .with_for_update(of=Release, skip_locked=True)
            .execution_options(populate_existing=True)
        )
        found = (await self._session.execute(statement)).one_or_none()
        if found is None:
            return None
        # Its row may have been removed by a stop while we waited for the release's lock.
        row = await self._session.scalar(
            select(Instance).where(Instance.id == instance_id).execution_options(populate_existing=True)
        )
        return (found[0], row) if row is not None else None

    async def is_wanted(self, instance_id: str) -> bool:
        """Whether an instance is (still) wanted."""
        statement = select(Instance.id).join(Release, Release.id == Instance.release_id)
        return await self._session.scalar(statement.where(Instance.id == instance_id, _wanted())) is not None

    async def with_service(self, release_id: UUID) -> Sequence[tuple[Instance, ServiceSpec]]:
        """The instances of a release that take traffic, each with its service section."""
        statement = select(Instance, Release.service).join(Release, Release.id == Instance.release_id)
        those = (Release.id == release_id, Instance.type == WEB)
        found = await self._session.execute(statement.where(*those).order_by(Instance.index))
        return [(row, ServiceSpec.model_validate(service)) for row, service in found]

    async def resting(self) -> dict[str, UUID]:
        """Instances of other process types that are stopped for now: their release is kept without traffic.

        Each with its organization.
        """
        statement = select(Instance.id, Release.organization_id).join(Release, Release.id == Instance.release_id)
        found = await self._session.execute(
            statement.where(Instance.type != WEB, Release.state == ReleaseState.RETIRED)
        )
        return {row.id: row.organization_id for row in found}

    async def organizations(self, release_ids: Collection[UUID]) -> dict[UUID, UUID]:
        """The organizations of these releases."""
        found = await self._session.execute(
            select(Release.id, Release.organization_id).where(Release.id.in_(release_ids))
        )
        return {row.id: row.organization_id for row in found}

    async def ended(self, release_ids: Sequence[UUID]) -> set[UUID]:
        """Those of the given releases that must not run any more: ended ones, and unknown ones."""
        statement = select(Release.id).where(Release.id.in_(release_ids), Release.state.not_in(ENDED))
        return set(release_ids) - set(await self._session.scalars(statement))

    async def abandoned(self) -> Sequence[Release]:
        """Releases in rollout in environments without an operation in progress: their workflow was lost.

        A rollback starts a release of another deployment, so that deployment's own operation is not decisive.
        """
        moving = _moving(Release.environment_id)
        statement = select(Release).where(Release.state == ReleaseState.STARTING, ~moving)
        return (await self._session.scalars(statement)).all()

    async def claim_unwanted(self, release_id: UUID, states: Sequence[ReleaseState]) -> Release | None:
        """The release, locked, if it is still in one of these states and no operation runs in its environment."""
        statement = select(Release).where(
            Release.id == release_id, Release.state.in_(states), ~_moving(Release.environment_id)
        )
        return await self._session.scalar(statement.with_for_update(of=Release))

    async def deserted(self) -> Sequence[Environment]:
        """Environments whose lock a finished deployment still holds: its workflow was lost before the release."""
        statement = select(Environment).where(Environment.holder_deployment_id.is_not(None), ~_moving(Environment.id))
        return (await self._session.scalars(statement.with_for_update(skip_locked=True))).all()

    async def superseded(self) -> Sequence[Release]:
        """Releases marked as serving that are not the current one, in environments without an operation in progress."""
        statement = (
            select(Release)
            .join(Environment, Environment.id == Release.environment_id)
            .where(
                Release.state == ReleaseState.ACTIVE,
                Environment.current_release_id != Release.id,
                ~_moving(Release.environment_id),
            )
        )
        return (await self._session.scalars(statement.with_for_update(of=Release, skip_locked=True))).all()

    async def overdue(self, *, late_s: float) -> Sequence[Release]:
        """Retired releases whose stop has been due for this many seconds."""
        limit = func.now() - func.make_interval(0, 0, 0, 0, 0, 0, late_s)
        statement = select(Release).where(
            Release.state == ReleaseState.RETIRED, Release.stop_after < limit, ~_moving(Release.environment_id)
        )
        return (await self._session.scalars(statement.with_for_update(skip_locked=True))).all()

    async def claim_overdue(self, release_id: UUID, *, late_s: float) -> bool:
        """Lock one of `overdue`, if it still is."""
        limit = func.now() - func.make_interval(0, 0, 0, 0, 0, 0, late_s)
        statement = select(Release.id).where(
            Release.id == release_id,
            Release.state == ReleaseState.RETIRED,
            Release.stop_after < limit,
            ~_moving(Release.environment_id),
        )
        return await self._session.scalar(statement.with_for_update(of=Release, skip_locked=True)) is not None

    async def half_stopped(self, *, late_s: float) -> dict[UUID, UUID]:
        """Releases that ended this many seconds ago and still have instances: the process that stopped them was lost.

        Each with its organization.
        """
        statement = select(Release.id, Release.organization_id).where(
            Release.state.in_(ENDED),
            _untouched(late_s),
            ~_moving(Release.environment_id),
            select(Instance.id).where(Instance.release_id == Release.id).exists(),
        )
        return {row.id: row.organization_id for row in await self._session.execute(statement)}

    async def withdrawn(self, *, late_s: float) -> dict[UUID, UUID]:
        """Releases that ended with their service and still have instances; each with its organization.

        Those of deleted projects at once; those of restored projects, and of failed first deployments, if they were not
        stopped within this many seconds.
        """
        statement = (
            select(Release.id, Release.organization_id)
            .join(Environment, Environment.id == Release.environment_id)
            .join(Project, Project.id == Environment.project_id)
            .where(
                Release.id.in_(select(Instance.release_id)),
                Release.state.in_(ENDED),
                Environment.current_release_id.is_(None),
                or_(Project.status == DELETED, _untouched(late_s)),
            )
        )
        found = await self._session.execute(statement.order_by(Release.id))
        return {row.id: row.organization_id for row in found}

    async def environment_and_route(self, environment_id: UUID) -> tuple[Environment, Route | None]:
        """An environment, locked, and its desired route."""
        environment = await self._session.get_one(Environment, environment_id, with_for_update=True)
        return environment, await self._session.get(Route, environment_id)


# A release that has traffic, or is in rollout.
_SERVES = Release.state.in_((ReleaseState.ACTIVE, ReleaseState.STARTING))


def _wanted() -> ColumnElement[bool]:
    """Whether an instance of a release should run."""
    rising = and_(Release.state == ReleaseState.STARTING, _moving(Release.environment_id))
    return and_(or_(Release.state.in_(SERVING), rising), or_(Instance.type == WEB, _SERVES))


def _untouched(late_s: float) -> ColumnElement[bool]:
    """Whether a release was not written for this many seconds. Future times are from before a clock was set back."""
    return or_(
        Release.updated_at < func.now() - func.make_interval(0, 0, 0, 0, 0, 0, late_s),
        Release.updated_at > func.now() + FUTURE,
    )


def _moving(environment_id: InstrumentedAttribute[UUID]) -> Exists:
    """Whether an operation is in progress in an environment."""
    return (
        select(Operation.id)
        .join(Deployment, Deployment.id == Operation.resource_id)
        .where(
            Deployment.environment_id == environment_id,
            Operation.status.not_in(FINISHED_OPERATIONS),
            Operation.completed_at.is_(None),  # redundant, for the index: a pass must not read all operations ever
        )
        .exists()
    )
