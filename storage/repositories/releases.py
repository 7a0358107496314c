"""Releases and their instances, for the worker (all tenants)."""

import secrets
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Select, delete, func, or_, select, true, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from domain.errors import NotFoundError
from domain.lifecycle import RELEASE_TRANSITIONS, DeploymentStatus, ReleaseState, check_transition
from domain.procfile import WEB
from storage.models import Deployment, Environment, Instance, Release

# The port of an instance that should have traffic but has no port now (another process listens on it), and of one that
# never has a port.
NOWHERE = 0


@dataclass(frozen=True)
class NewRelease:
    """The data of a new release; its id is its deployment's id."""

    release_id: UUID
    organization_id: UUID
    environment_id: UUID
    build_id: UUID
    artifact_digest: str
    service: dict[str, Any]
    replicas: int
    secrets: Sequence[dict[str, Any]] = ()
    processes: Mapping[str, Any] = field(default_factory=dict)


def releases_before(release: Release) -> Select[Release]:
    """The last healthy release of another build that was stable before and was never rolled back. At most one row.

    A release of the same build would bring the same fault back.
    """
    return (
        select(Release)
        .join(Deployment, Deployment.id == Release.deployment_id)
        .where(
            Release.environment_id == release.environment_id,
            Release.build_id != release.build_id,
            Release.promoted_at < release.promoted_at,
            Release.was_healthy,
            Deployment.status == DeploymentStatus.SUCCESS,
        )
        .order_by(Release.promoted_at.desc(), Release.id.desc())
        .limit(1)
    )


class ReleaseRepository:
    """Releases: created once per deployment, with the transitions of `RELEASE_TRANSITIONS`."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def stopped_before(self, release_id: UUID, *, but: int) -> Sequence[UUID]:
        """Stopped releases of the same environment, except the newest `but`; at most a hundred."""
        environment = select(Release.environment_id).where(Release.id == release_id).scalar_subquery()
        statement = (
            select(Release.id)
            .where(Release.environment_id == environment, Release.state == ReleaseState.STOPPED)
            .order_by(Release.created_at.desc(), Release.id.desc())
            .offset(but)
            .limit(100)
        )
        return (await self._session.scalars(statement)).all()

    async def project_of(self, release: Release) -> UUID:
        """The project of its environment."""
        statement = select(Environment.project_id).where(Environment.id == release.environment_id)
        return (await self._session.scalars(statement)).one()

    async def get(self, release_id: UUID, *, lock: bool = False) -> Release:
        """The release; `lock` keeps others from changing it until the transaction ends."""
        statement = select(Release).where(Release.id == release_id)
        if lock:  # data read before the lock may be outdated
            statement = statement.with_for_update().execution_options(populate_existing=True)
        found = await self._session.scalar(statement)
        if found is None:
            raise NotFoundError(f"release {release_id} does not exist")
        return found

    async def open(self, new: NewRelease) -> Release:
        """Create the release unless it exists."""
        row = {
            "id": new.release_id,
            "deployment_id": new.release_id,
            "organization_id": new.organization_id,
            "environment_id": new.environment_id,
            "build_id": new.build_id,
            "artifact_digest": new.artifact_digest,
            "service": new.service,
            "secrets": list(new.secrets),
            "processes": dict(new.processes),
            "replicas": new.replicas,
            "state": ReleaseState.STARTING,
            "preview_token": secrets.token_urlsafe(24),
        }
        await self._session.execute(insert(Release).values(row).on_conflict_do_nothing(index_elements=["id"]))
        return await self.get(new.release_id)

    async def environment(self, environment_id: UUID, *, lock: bool = False) -> Environment:
        """The environment's row."""
        statement = select(Environment).where(Environment.id == environment_id)
        found = await self._session.scalar(statement.with_for_update() if lock else statement)
        if found is None:
            raise NotFoundError(f"environment {environment_id} does not exist")
        return found

    async def stable(self, environment_id: UUID) -> Release | None:
        """The release with the environment's traffic, None before the first."""
        environment = await self.environment(environment_id)
        return await self.get(environment.current_release_id) if environment.current_release_id else None

    async def before(self, release: Release) -> Release | None:
        """The healthy release to which a rollback of `release` returns."""
        return await self._session.scalar(releases_before(release))

    async def of_deployment(self, deployment_id: UUID) -> Release | None:
        """The release that a deployment created or put back into service."""
        return await self._session.scalar(select(Release).where(Release.deployment_id == deployment_id))

    async def clock(self) -> datetime:
        """The clock for `stop_after`: one clock, however many workers there are."""
        moment: datetime = (await self._session.scalars(select(func.clock_timestamp()))).one()
        return moment

    async def kept(self, new: NewRelease, *, or_starting: bool) -> Release | None:
        """A release of the same build, service and secrets that was stable and still runs, locked.

        `or_starting`: one that is being put back into service counts too.
        """
        kept = (Release.state == ReleaseState.RETIRED) & (Release.stop_after > func.clock_timestamp())
        statement = select(Release).where(
            Release.environment_id == new.environment_id,
            Release.build_id == new.build_id,
            Release.service == new.service,
            Release.secrets == list(new.secrets),  # a changed secret may be the reason for this deployment
            Release.processes == dict(new.processes),
            Release.was_healthy,
            or_(kept, Release.state == ReleaseState.STARTING) if or_starting else kept,
        )
        return await self._session.scalar(statement.order_by(Release.promoted_at.desc()).limit(1).with_for_update())

    async def move(self, release_id: UUID, state: ReleaseState, *, stop_after: datetime | None = None) -> Release:
        """Change the state; a transition to the present state changes nothing."""
        release = await self.get(release_id, lock=True)
        check_transition(RELEASE_TRANSITIONS, ReleaseState(release.state), state)
        release.state = state
        release.stop_after = stop_after
        if state is ReleaseState.ACTIVE:
            release.was_healthy = True
        return release

    async def make_current(self, environment_id: UUID, release_id: UUID, deployment_id: UUID | None = None) -> None:
        """Make a release the environment's stable one and remember the previous one.

        `deployment_id`: the deployment that owns it from now on; None: its owner stays.
        """
        environment = await self.environment(environment_id, lock=True)
        release = await self.move(release_id, ReleaseState.ACTIVE)
        release.deployment_id = deployment_id or release.deployment_id
        if environment.current_release_id != release_id:
            environment.previous_release_id = environment.current_release_id
            environment.current_release_id = release_id
            release.promoted_at = func.now()
        await self._session.execute(
            update(Deployment)
            .where(Deployment.id == release.deployment_id, Deployment.live_at.is_(None))
            .values(live_at=func.now())
        )

    async def mark_taken_back(self, deployment_id: UUID, build_id: UUID) -> None:
        """Record, in the transaction that moves the traffic, the build to which a deployment was rolled back."""
        statement = update(Deployment).where(Deployment.id == deployment_id)
        await self._session.execute(statement.values(rolled_back_to_build_id=build_id))

    async def taken_back_to(self, deployment_id: UUID) -> Release | None:
        """The release to which a deployment was rolled back, None if it was not."""
        statement = (
            select(Release)
            .join(Deployment, Deployment.environment_id == Release.environment_id)
            .where(
                Deployment.id == deployment_id,
                Release.build_id == Deployment.rolled_back_to_build_id,
                Release.deployment_id != deployment_id,
                Release.was_healthy,
            )
        )
        return await self._session.scalar(statement.order_by(Release.promoted_at.desc()).limit(1))

    async def hold(self, environment_id: UUID, deployment_id: UUID) -> None:
        """Record the holder of the environment's lock, for display."""
        statement = update(Environment).where(Environment.id == environment_id)
        await self._session.execute(statement.values(holder_deployment_id=deployment_id))

    async def let_go(self, environment_id: UUID, deployment_id: UUID) -> None:
        """Clear the recorded holder, unless it is another one by now."""
        statement = update(Environment).where(
            Environment.id == environment_id, Environment.holder_deployment_id == deployment_id
        )
        await self._session.execute(statement.values(holder_deployment_id=None))


class InstanceRepository:
    """The instances of releases and their rotation; instances of types other than `web` are never in rotation."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def of(self, release_id: UUID) -> Sequence[Instance]:
        """A release's instances that take traffic, by index."""
        statement = select(Instance).where(Instance.release_id == release_id, Instance.type == WEB)
        return (await self._session.scalars(statement.order_by(Instance.index))).all()

    async def beside(self, release_id: UUID) -> Sequence[Instance]:
        """A release's instances of other process types."""
        statement = select(Instance).where(Instance.release_id == release_id, Instance.type != WEB)
        return (await self._session.scalars(statement.order_by(Instance.type, Instance.index))).all()

    async def put_beside(self, *, instance_id: str, release_id: UUID, type_: str, index: int) -> None:
        """Record it as wanted; it has no address."""
        values = {"id": instance_id, "release_id": release_id, "type": type_, "index": index}
        statement = insert(Instance).values(**values, address="", port=NOWHERE, in_rotation=False)
        await self._session.execute(statement.on_conflict_do_nothing(index_elements=["id"]))

    async def put(self, *, instance_id: str, release_id: UUID, index: int, address: str, port: int) -> None:
        """Write an instance's address; it leaves rotation if it is new or its address changed."""
        values = {"id": instance_id, "release_id": release_id, "index": index, "address": address, "port": port}
        statement = insert(Instance).values(**values, in_rotation=False)
        moved = (Instance.port != port) | (Instance.address != address)
        await self._session.execute(
            statement.on_conflict_do_update(
                index_elements=["id"], set_={"address": address, "port": port, "in_rotation": False}, where=moved
            )
        )

    async def move(self, instance_id: str, *, address: str, port: int, was: tuple[str, int] | None = None) -> bool:
        """Write an instance's new port. It stays in rotation: the router's checks exclude it until it is healthy.

        `was`: only if this is still its recorded port. False: it is not, or the instance is gone.
        """
        statement = update(Instance).where(Instance.id == instance_id)
        if was is not None:
            statement = statement.where(Instance.address == was[0], Instance.port == was[1])
        moved = await self._session.scalars(
            statement.values(address=address, port=port).returning(Instance.id),
            execution_options={"synchronize_session": False},
        )
        return moved.first() is not None

    async def rotate(self, release_id: UUID, *, below: int) -> bool:
        """Put exactly the instances with an index under `below` in rotation; returns whether that changed anything."""
        changed = False
        for instance in await self.of(release_id):
            wanted = instance.index < below
            changed = changed or instance.in_rotation != wanted
            instance.in_rotation = wanted
        await self._session.flush()
        return changed

    async def close_idle(self, release_id: UUID, closing: Collection[str]) -> bool:
        """Record which instances close idle connections; returns whether that changed anything."""
        changed = False
        for instance in await self.of(release_id):
            found = instance.id in closing
            changed = changed or instance.closes_idle != found
            instance.closes_idle = found
        await self._session.flush()
        return changed

    async def remove(self, release_id: UUID, *, from_index: int) -> int:
        """Delete the rows of stopped instances; index 0 includes those of other process types. Returns their number."""
        leaving = (Instance.type == WEB) & (Instance.index >= from_index) if from_index else true()
        gone = delete(Instance).where(Instance.release_id == release_id, leaving).returning(Instance.id)
        return len((await self._session.scalars(gone)).all())
