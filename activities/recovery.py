"""Restarts instances that are gone, and moves them off ports that other processes took."""

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import replace
from uuid import UUID

import structlog

from activities.routing import RouteWriter
from activities.secrets import ProjectSecrets
from domain.delivery_spec import ProcessSpec, ServiceSpec
from domain.errors import ErrorCode, TerminalError
from domain.procfile import WEB
from drivers.routers.base import HeldBackError
from drivers.targets.base import InstanceSpec, InstanceStatus, Target
from runtime.ids import now
from storage.engine import Sessions, transaction
from storage.models import Instance, Release
from storage.repositories.displaced import DisplacedRepository
from storage.repositories.reconciliation import KeepingRepository
from storage.repositories.releases import NOWHERE, InstanceRepository, ReleaseRepository
from storage.repositories.routing import RoutingRepository

log = structlog.get_logger(__name__)

# A version that exits so often, or kills its shim so often, is not restarted any more.
MAX_RESTARTS = 3
# After a power cut the router needs time as well, however short the service's own start-up time is.
LEAST_GRACE_S = 30.0
# An instance's first process and its row are made within so many seconds of each other.
STARTING_S = 2.0


def instance_id(release_id: UUID, index: int, type_: str = WEB) -> str:
    """The id of an instance: it is also its idempotency key."""
    return f"{release_id}-{index}" if type_ == WEB else f"{release_id}-{type_}-{index}"


def command_id(release_id: UUID) -> str:
    """The id of a release's command at the target: it is also its idempotency key."""
    return f"{release_id}-release"


def instance_spec(
    release: Release, service: ServiceSpec, index: int, secrets: Mapping[str, str], project_id: UUID
) -> InstanceSpec:
    """The specification of instance `index` of a project's release, with the values of its secrets."""
    if service.command is None:
        raise TerminalError("service.command is missing in delivery.yaml", code=ErrorCode.SPEC_INVALID)
    return InstanceSpec(
        instance_id=instance_id(release.id, index),
        release_id=str(release.id),
        artifact_digest=release.artifact_digest,
        command=service.command,
        env={**service.env, "DELIVERY_RELEASE": str(release.id)},
        secrets=secrets,
        memory_mb=service.memory_mb,
        processes=service.processes,
        disk_mb=service.disk_mb,
        stop_timeout_s=service.stop_timeout,
        after=command_id(release.id),
        organization=str(release.organization_id),
        project=str(project_id),
        egress=service.egress,
    )


def row_spec(release: Release, row: Instance, secrets: Mapping[str, str], project_id: UUID) -> InstanceSpec:
    """The specification of an instance on record. A process beside the service differs in its command and its port."""
    service = ServiceSpec.model_validate(release.service)
    if row.type == WEB:
        return instance_spec(release, service, row.index, secrets, project_id)
    stored = release.processes.get(row.type)
    if stored is None:
        raise TerminalError(f"the release has no process type {row.type!r}", code=ErrorCode.INVALID_STATE)
    process = ProcessSpec.model_validate(stored)
    spec = instance_spec(
        release, service.model_copy(update={"command": process.command}), row.index, secrets, project_id
    )
    return replace(
        spec,
        instance_id=row.id,
        memory_mb=process.memory_mb or spec.memory_mb,
        stop_timeout_s=spec.stop_timeout_s if process.stop_timeout is None else process.stop_timeout,
        listens=False,
    )


class _NotWantedError(Exception):
    """Its release was stopped, or its row was removed, since the record was read."""


class InstanceRecovery:
    """Makes instances run as the record says. Safe to repeat, and safe in several workers at the same time."""

    def __init__(self, *, sessions: Sessions, secrets: ProjectSecrets, target: Target, writer: RouteWriter) -> None:
        self._sessions = sessions
        self._secrets = secrets
        self._target = target
        self._writer = writer

    async def recover(self, name: str) -> InstanceStatus | None:
        """Restart or move an instance and record its address; None: there was nothing to do.

        If another process has its port, the address leaves the router first, then the instance moves: the other process
        gets no traffic from then on. Use the route writer to wait until the new address takes traffic.
        """
        status = await self._target.inspect(name)
        if status.port_taken:
            await self._leave_address(name, status.port)
        return await self._bring_back(name, status)

    async def coming_back(self, release_ids: Iterable[UUID]) -> bool:
        """Whether instances of these releases are gone, or were restarted by their shim a short while ago.

        Errors that users get meanwhile are no evidence against the version. Instances that are gone are restarted.
        """
        async with transaction(self._sessions) as session:
            rows = [row for each in release_ids for row in await KeepingRepository(session).with_service(each)]
        found = await asyncio.gather(*(self._is_coming_back(row, service) for row, service in rows))
        return any(found)

    async def _is_coming_back(self, row: Instance, service: ServiceSpec) -> bool:
        status = await self._target.inspect(row.id)
        if status.gone or status.port_taken:
            await self.recover(row.id)
            return True
        if status.running_s is None or status.restarts >= MAX_RESTARTS:
            return False  # it exits by itself
        known_s = (now() - row.created_at).total_seconds() - STARTING_S
        grace_s = max(service.health.startup_timeout, LEAST_GRACE_S)
        return status.running_s < min(known_s, grace_s)

    async def _bring_back(self, name: str, seen: InstanceStatus) -> InstanceStatus | None:
        """Start it. No database connection is held meanwhile: a large artifact takes long.

        The release may be stopped at the same time. So the record is read once more right before the start, under the
        target's lock: an instance of a stopped release is never started.
        """
        async with transaction(self._sessions) as session:
            claimed = await KeepingRepository(session).claim_wanted(name)
            if claimed is None:
                return None
            release, row = claimed
            project_id = await ReleaseRepository(session).project_of(release)
            secrets = await self._secrets.of_release(session, release)
        before = await self._target.inspect(name)
        try:
            after = await self._run(before, row_spec(release, row, secrets, project_id))
        except _NotWantedError:
            return None
        displaced = await self._note(release, row, before, after)
        if displaced:
            log.warning("instance.displaced", instance_id=name, before=before.port, port=after.port)
        elif seen.gone:
            log.info("instance.restarted", instance_id=name, port=after.port)
        return after

    async def _run(self, now_: InstanceStatus, spec: InstanceSpec) -> InstanceStatus:
        if not now_.gone and not now_.port_taken:
            return now_  # another worker was first

        async def check() -> None:
            async with transaction(self._sessions) as session:
                if not await KeepingRepository(session).is_wanted(spec.instance_id):
                    raise _NotWantedError

        if now_.gone:
            return await self._target.start(spec, check=check)
        return await self._target.relocate(spec, port=now_.port, check=check)

    async def _note(self, release: Release, row: Instance, before: InstanceStatus, after: InstanceStatus) -> bool:
        """Record its address unless another worker did. Returns whether another process had taken its port."""
        if row.type != WEB or (after.address, after.port) == (row.address, row.port):
            return False
        # A change between the host's network and one of its own is no lost port.
        displaced = before.port not in (NOWHERE, after.port) and before.address == after.address
        async with transaction(self._sessions) as session:
            was = (row.address, row.port)
            moved = await InstanceRepository(session).move(row.id, address=after.address, port=after.port, was=was)
            if moved:
                await RoutingRepository(session).touch()
            if moved and displaced:
                await DisplacedRepository(session).told(release, row.id, before=before.port, after=after.port)
        return moved and displaced

    async def _leave_address(self, name: str, taken: int) -> None:
        """Remove the instance's address from the router at once, whether other instances are healthy or not.

        `taken`: the port of the other process. An instance that is recorded elsewhere has left it already.
        """
        async with transaction(self._sessions) as session:
            claimed = await KeepingRepository(session).claim_wanted(name)
            if claimed is None:
                return
            release, row = claimed
            was = (row.address, taken)
            if not await InstanceRepository(session).move(name, address=row.address, port=NOWHERE, was=was):
                return
            await RoutingRepository(session).touch()
        try:
            await self._writer.apply(needing=[str(release.id)])
        except HeldBackError:
            # No other instance of the release is healthy, so the router would keep the old addresses.
            await self._leave_all(release.id)

    async def _leave_all(self, release_id: UUID) -> None:
        """Remove the addresses from the router: another process may answer there. The reconciler adds them again."""
        async with transaction(self._sessions) as session:
            for row in await InstanceRepository(session).of(release_id):
                await InstanceRepository(session).move(row.id, address=row.address, port=NOWHERE)
            await RoutingRepository(session).touch()
        await self._writer.apply()
