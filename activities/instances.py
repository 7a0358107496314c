"""Instances: started, awaited healthy, drained and stopped."""

import asyncio
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from uuid import UUID

from activities.exits import MAX_TAIL, exited
from activities.failures import translate_errors
from activities.heartbeats import heartbeating
from activities.idle_watch import IdleWatch
from activities.instance_room import InstanceRoom
from activities.probes import Probe, Prober
from activities.records import refuse_if_over
from activities.recovery import MAX_RESTARTS, InstanceRecovery, command_id, instance_spec
from activities.routing import RouteWriter
from activities.secrets import ProjectSecrets
from contracts.payload import Nothing, bounded
from contracts.rollouts import (
    AWAIT_HEALTHY,
    SHRINK_RELEASE,
    START_INSTANCES,
    AwaitHealthy,
    HealthReport,
    ShrinkRelease,
    StartInstances,
)
from contracts.stubs import implements
from domain.delivery_spec import ServiceSpec
from domain.errors import ConflictError, DeliveryError, DependencyError, ErrorCode, TerminalError
from domain.lifecycle import ReleaseState
from domain.masking import masked
from domain.routing import Endpoint
from drivers.routers.base import Router
from drivers.targets.base import InstancePhase, InstanceStatus, Target
from storage.engine import Sessions, transaction
from storage.models import Instance, Release
from storage.repositories.reconciliation import ENDED
from storage.repositories.releases import InstanceRepository, ReleaseRepository
from storage.repositories.routing import RoutingRepository

# How often a drain looks: often at first, more and more seldom when it takes long; many may be under way at once.
DRAIN_LOOK_EVERY_S = 0.05
DRAIN_LOOK_AT_LEAST_EVERY_S = 1.0


@dataclass(frozen=True)
class ReleaseInstances:
    """A release and its instances, read at one moment; `beside`: those of its other process types."""

    release: Release
    service: ServiceSpec
    instances: Sequence[Instance]
    project_id: UUID
    beside: Sequence[Instance] = ()


class Lives:
    """How often an instance began anew because its shim was ended (a reboot), and how long the newest one may take.

    That is not the version's doing, so each life has the whole time to get healthy; a version that ends its own shim
    again and again is given up.
    """

    def __init__(self, startup_timeout_s: float) -> None:
        self._limit_s = startup_timeout_s
        self._end = time.monotonic() + startup_timeout_s
        self._begun: set[int] = set()
        self._again = 0

    def see(self, status: InstanceStatus) -> None:
        """What the target says now."""
        if status.pid is None or status.restarts or status.pid in self._begun:
            return
        self._begun.add(status.pid)
        self._end = max(self._end, time.monotonic() - (status.running_s or 0) + self._limit_s)

    def began_again(self) -> None:
        """We had to start it; its process may be over before anybody sees it."""
        self._again += 1

    @property
    def too_many(self) -> bool:
        return max(self._again, len(self._begun) - 1) > MAX_RESTARTS

    @property
    def over(self) -> bool:
        return time.monotonic() >= self._end


async def read_release(sessions: Sessions, release_id: UUID) -> ReleaseInstances:
    """The release with its instances by index."""
    async with transaction(sessions) as session:
        release = await ReleaseRepository(session).get(release_id)
        instances = await InstanceRepository(session).of(release_id)
        project_id = await ReleaseRepository(session).project_of(release)
        beside = await InstanceRepository(session).beside(release_id)
        return ReleaseInstances(release, ServiceSpec.model_validate(release.service), instances, project_id, beside)


async def refuse_if_ended(sessions: Sessions, release_id: UUID) -> None:
    """Raise `ConflictError` when a release is over. A worker may sleep for hours between two lines."""
    async with transaction(sessions) as session:
        if (await ReleaseRepository(session).get(release_id)).state in ENDED:
            raise _stopped_meanwhile()


def _stopped_meanwhile() -> ConflictError:
    return ConflictError("the release was stopped meanwhile", code=ErrorCode.INVALID_STATE)


class InstanceStopper:
    """Takes instances out of rotation, waits for their requests, stops them. Safe to repeat from any point."""

    def __init__(self, sessions: Sessions, target: Target, router: Router, writer: RouteWriter) -> None:
        self._sessions = sessions
        self._target = target
        self._router = router
        self._writer = writer

    async def stop(self, release_id: UUID, *, keep: int) -> bool:
        """Stop the instances from index `keep` on; with all of them the processes beside the service, too.

        Returns whether there were any: False when another worker stopped them all.
        """
        known = await read_release(self._sessions, release_id)
        leaving = [instance for instance in known.instances if instance.index >= keep]
        if keep == 0:
            # What it left may be wanted again by a rollback, unless the release was never good.
            kept = known.release.state != ReleaseState.FAILED
            await self._target.end_command(command_id(release_id), keep_end=kept)
            # No route leads here any more, so the router still lists the cluster and tells when it is idle.
            drained = self._drain(release_id, leaving, known.service.drain_timeout)
            await asyncio.gather(drained, *(self._target.stop(each.id) for each in known.beside))
        async with transaction(self._sessions) as session:
            if await InstanceRepository(session).rotate(release_id, below=keep):
                await RoutingRepository(session).touch()
        # Also when nothing changed just now: an attempt before this one may have died before it applied its change.
        await self._writer.apply(needing=[str(release_id)] if keep else [])
        if keep:
            await self._drain(release_id, leaving, known.service.drain_timeout)
        await asyncio.gather(*(self._target.stop(instance.id) for instance in leaving))
        async with transaction(self._sessions) as session:
            await ReleaseRepository(session).get(release_id, lock=True)
            removed = await InstanceRepository(session).remove(release_id, from_index=keep)
        if keep:
            # The release goes on, so that up to here a reconciler may have brought one back; without a row it does not.
            await asyncio.gather(*(self._target.stop(instance.id) for instance in leaving))
        return removed > 0

    async def _drain(self, release_id: UUID, leaving: Sequence[Instance], limit_s: float) -> None:
        """Wait until the router has no request in flight there, at most `limit_s` seconds."""
        places = {Endpoint(instance.address, instance.port) for instance in leaving}
        end, pause_s = time.monotonic() + limit_s, DRAIN_LOOK_EVERY_S
        while places and (left_s := end - time.monotonic()) > 0:
            with suppress(DependencyError):
                seen = await self._router.endpoint_health(str(release_id))
                if not any(e.active_requests for e in seen if e.endpoint in places):
                    return
            await asyncio.sleep(min(pause_s, left_s))
            pause_s = min(1.2 * pause_s, DRAIN_LOOK_AT_LEAST_EVERY_S)


class InstanceActivities:
    """Drives a target."""

    def __init__(
        self,
        *,
        sessions: Sessions,
        secrets: ProjectSecrets,
        target: Target,
        prober: Prober,
        stopper: InstanceStopper,
        recovery: InstanceRecovery,
        room: InstanceRoom,
    ) -> None:
        self._room = room
        self._sessions = sessions
        self._secrets = secrets
        self._target = target
        self._prober = prober
        self._stopper = stopper
        self._recovery = recovery

    @implements(START_INSTANCES)
    @translate_errors
    async def start(self, request: StartInstances) -> Nothing:
        known = await read_release(self._sessions, request.release_id)
        secrets = await self._variables(known)

        async def check() -> None:
            await refuse_if_ended(self._sessions, request.release_id)

        async with heartbeating():
            async with transaction(self._sessions) as session:
                await self._room.check(session, known.release, request.count)
            for index in range(request.count):
                await refuse_if_over(self._sessions)
                spec = instance_spec(known.release, known.service, index, secrets, known.project_id)
                try:
                    status = await self._target.start(spec, check=check)
                except ConflictError:
                    await self._target.stop(spec.instance_id)
                    raise
                try:
                    await self._put(request.release_id, index, status)
                except DeliveryError:
                    await self._target.stop(status.instance_id)
                    raise
        return Nothing()

    async def _put(self, release_id: UUID, index: int, status: InstanceStatus) -> None:
        """Write down where it listens. A worker may sleep for hours between two lines.

        Raises:
            ConflictError: INVALID_STATE, its release is over.
            TerminalError: QUOTA_EXCEEDED, the organization has started something else meanwhile.
        """
        async with transaction(self._sessions) as session:
            release = await ReleaseRepository(session).get(release_id, lock=True)
            if release.state in ENDED:
                raise _stopped_meanwhile()
            await self._room.check(session, release, index + 1)
            await InstanceRepository(session).put(
                instance_id=status.instance_id,
                release_id=release_id,
                index=index,
                address=status.address,
                port=status.port,
            )

    @implements(AWAIT_HEALTHY)
    @translate_errors
    async def await_healthy(self, request: AwaitHealthy) -> HealthReport:
        known = await read_release(self._sessions, request.release_id)
        began = time.monotonic()
        async with heartbeating():
            wanted = [i for i in known.instances if i.index < request.count]
            waits = [asyncio.create_task(self._await_one(known, i.id)) for i in wanted]
            try:
                closes = await asyncio.gather(*waits)
            finally:
                for wait in waits:
                    wait.cancel()
                await asyncio.gather(*waits, return_exceptions=True)
        async with transaction(self._sessions) as session:
            instances = InstanceRepository(session)
            closing = {one.id for one, is_closing in zip(wanted, closes, strict=True) if is_closing}
            noted = await instances.close_idle(request.release_id, closing)
            if await instances.rotate(request.release_id, below=request.count) or noted:
                await RoutingRepository(session).touch()
        return HealthReport(count=request.count, seconds=round(time.monotonic() - began, 3))

    @implements(SHRINK_RELEASE)
    @translate_errors
    async def shrink(self, request: ShrinkRelease) -> Nothing:
        await refuse_if_over(self._sessions)
        async with heartbeating():
            await self._stopper.stop(request.release_id, keep=request.keep)
        return Nothing()

    async def _variables(self, known: ReleaseInstances) -> dict[str, str]:
        async with transaction(self._sessions) as session:
            return await self._secrets.of_release(session, known.release)

    async def _tail(self, known: ReleaseInstances, name: str) -> str:
        """The end of an instance's output; it goes into histories and answers, so what is secret in it is masked."""
        tail = await self._target.log_tail(name, 2 * MAX_TAIL)  # so that none is cut in two by what is shown
        return masked(tail, (await self._variables(known)).values())[-MAX_TAIL:]

    async def _await_one(self, known: ReleaseInstances, name: str) -> bool:
        """Until healthy `healthy_after` times in a row and listening itself; the error says what was seen last.

        Returns:
            Whether it closes idle connections without saying so.
        """
        async with IdleWatch() as idle:
            await self._until_healthy(known, name, idle)
            return await idle.closed()

    async def _until_healthy(self, known: ReleaseInstances, name: str, idle: IdleWatch) -> None:
        health = known.service.health
        lives = Lives(health.startup_timeout)
        good, last = 0, Probe(healthy=False, words="it was not probed yet: nothing listens on its port")
        while good < health.healthy_after:
            status = await self._target.inspect(name)
            lives.see(status)
            if lives.too_many or status.restarts >= MAX_RESTARTS:
                raise await self._exited(known, name, status)
            if status.gone or status.port_taken:
                if await self._recovery.recover(name) and status.gone:
                    lives.began_again()
            elif status.listening:
                last = await self._prober.instance(
                    status.address, status.port, health.path, health.timeout, host=health.host
                )
            good = good + 1 if status.listening and not status.port_taken and last.healthy else 0
            if good == 1:
                idle.begin(status.address, status.port, health)
            if good < health.healthy_after:
                if lives.over:
                    raise await self._unhealthy(known, name, status, last)
                await asyncio.sleep(health.interval)

    async def _exited(self, known: ReleaseInstances, name: str, status: InstanceStatus) -> TerminalError:
        return exited(status, await self._tail(known, name), who="the service", before="it was healthy")

    async def _unhealthy(
        self, known: ReleaseInstances, name: str, status: InstanceStatus, last: Probe
    ) -> TerminalError:
        if status.phase is InstancePhase.BACKOFF or (status.restarts and not status.listening):
            return await self._exited(known, name, status)
        tail = await self._tail(known, name)
        waited_s = known.service.health.startup_timeout
        details = {"last_probe": last.words, "log_tail": tail, "port": status.port}
        if not status.listening and status.unreachable_at:
            where = ", ".join(status.unreachable_at)
            return TerminalError(
                f"the service listens on port {status.port} of {where} only, which connections to 127.0.0.1 do not "
                "reach; make it listen on 127.0.0.1",
                code=ErrorCode.INSTANCE_WRONG_PORT,
                details={**details, "listens_at": list(status.unreachable_at)},
            )
        if not status.listening and status.listens_elsewhere:
            ports = ", ".join(map(str, status.listens_elsewhere))
            return TerminalError(
                f"the service listens on port {ports} instead of $PORT ({status.port}); "
                "make it listen on 127.0.0.1 and the port in the environment variable PORT",
                code=ErrorCode.INSTANCE_WRONG_PORT,
                details={**details, "listens_on": list(status.listens_elsewhere)},
            )
        return TerminalError(
            bounded(
                f"the service was not healthy within {waited_s:g} s; last probe: {last.words}; "
                f"its last output: {tail.strip() or '(none)'}",
                2000,
            ),
            code=ErrorCode.INSTANCE_UNHEALTHY,
            details=details,
        )
