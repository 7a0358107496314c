"""Releases: opened, reopened, promoted, retired, stopped."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

from activities.environment_lock import check_turn, check_window
from activities.failures import translate_errors
from activities.heartbeats import heartbeating
from activities.instances import InstanceStopper
from activities.provenance import ProvenanceGuard
from activities.records import refuse_if_over
from activities.secrets import secret_references
from contracts.payload import Nothing
from contracts.rollouts import (
    OPEN_RELEASE,
    PROMOTE_RELEASE,
    REOPEN_RELEASE,
    RETIRE_RELEASE,
    STOP_RELEASE,
    OpenedRelease,
    OpenRelease,
    PromoteRelease,
    ReleaseRef,
    ReopenRelease,
    RetiredRelease,
    RetireRelease,
    StopRelease,
)
from contracts.stubs import implements
from domain.delivery_spec import ProcessSpec, ServiceSpec, faults_of
from domain.errors import ConflictError, ErrorCode, NotFoundError, TerminalError
from domain.lifecycle import ReleaseState
from storage.engine import Sessions, transaction
from storage.models import Release
from storage.repositories.build_records import BuildRecordRepository
from storage.repositories.releases import NewRelease, ReleaseRepository

# The clock of Temporal, by which the time of a retired release comes, and that of the record.
CLOCKS_DIFFER = timedelta(seconds=5)


class ReleaseActivities:
    """Moves releases along their life; the rows decide when two want different things."""

    def __init__(self, sessions: Sessions, stopper: InstanceStopper, provenance: ProvenanceGuard) -> None:
        self._provenance = provenance
        self._sessions = sessions
        self._stopper = stopper

    @implements(OPEN_RELEASE)
    @translate_errors
    async def open(self, request: OpenRelease) -> OpenedRelease:
        await refuse_if_over(self._sessions)
        place = request.place
        _check_service(request.service)
        notice = await self._check_provenance(request)
        async with transaction(self._sessions) as session:
            releases = ReleaseRepository(session)
            # Its row is locked first: an instant rollback of the stable release may run just now, without a lock of it.
            environment = await releases.environment(place.environment_id, lock=True)
            new = _new_release(request, await secret_references(session, environment, request.service.secrets))
            again = environment.holder_deployment_id == place.deployment_id
            if not again:
                await check_turn(session, environment, place)
                await check_window(session, environment, place)
            stable = await releases.stable(place.environment_id)
            await releases.hold(place.environment_id, place.deployment_id)
            release = await self._returning(releases, new, again=again) or await releases.open(new)
        return OpenedRelease(
            release=release_ref(release),
            stable=release_ref(stable) if stable else None,
            returning=release.id != place.deployment_id,
            notice=notice,
        )

    async def _check_provenance(self, request: OpenRelease) -> str | None:
        """Before the environment's row is locked; raises PROVENANCE_INVALID."""
        async with transaction(self._sessions) as session:
            builds = BuildRecordRepository(session)
            build = await builds.get(request.build_id)
            repository = (await builds.project_of(build)).repository_url
            return await self._provenance.check(session, build, request.artifact_digest, repository=repository)

    @staticmethod
    async def _returning(releases: ReleaseRepository, new: NewRelease, *, again: bool) -> Release | None:
        """A retired release of the same build that still runs: it is reused without a new start.

        It stays its own deployment's until it is promoted: should it not come so far, it is still a way back.
        `again`: an attempt before this one may have taken it back into service already.
        """
        if await releases.of_deployment(new.release_id) is not None:
            return None  # an attempt before this one opened a new one
        kept = await releases.kept(new, or_starting=again)
        return await releases.move(kept.id, ReleaseState.STARTING) if kept else None

    @implements(REOPEN_RELEASE)
    @translate_errors
    async def reopen(self, request: ReopenRelease) -> OpenedRelease:
        await refuse_if_over(self._sessions)
        place = request.place
        async with transaction(self._sessions) as session:
            releases = ReleaseRepository(session)
            await check_turn(session, await releases.environment(place.environment_id, lock=True), place)
            bad = await releases.stable(place.environment_id)
            if bad is None or bad.deployment_id != place.deployment_id:
                raise serves_no_more(bad)
            target = await releases.before(bad)
            if target is None:
                raise nothing_before()
            notice = None
            if target.state != ReleaseState.ACTIVE:  # instances of it may have to start: as of any other release
                build = await BuildRecordRepository(session).get(target.build_id)
                notice = await self._provenance.check(session, build, target.artifact_digest, repository=None)
            await releases.hold(place.environment_id, place.deployment_id)
            # Taken back into service: the environment's clean-up leaves it alone from here on.
            if target.state != ReleaseState.ACTIVE:  # it was not retired: it counts as serving
                await releases.move(target.id, ReleaseState.STARTING)
        return OpenedRelease(release=release_ref(target), stable=release_ref(bad), notice=notice)

    @implements(PROMOTE_RELEASE)
    @translate_errors
    async def promote(self, request: PromoteRelease) -> Nothing:
        await refuse_if_over(self._sessions)
        async with transaction(self._sessions) as session:
            await ReleaseRepository(session).make_current(
                request.environment_id, request.release_id, request.deployment_id
            )
        return Nothing()

    @implements(RETIRE_RELEASE)
    @translate_errors
    async def retire(self, request: RetireRelease) -> RetiredRelease:
        await refuse_if_over(self._sessions)
        async with transaction(self._sessions) as session:
            releases = ReleaseRepository(session)
            stop_after = await releases.clock() + timedelta(seconds=request.keep_seconds)
            await releases.move(request.release_id, ReleaseState.RETIRED, stop_after=stop_after)
        return RetiredRelease(release_id=request.release_id, stop_after=stop_after)

    @implements(STOP_RELEASE)
    @translate_errors
    async def stop(self, request: StopRelease) -> Nothing:
        await refuse_if_over(self._sessions)
        ended = ReleaseState.FAILED if request.failed else ReleaseState.STOPPED
        if not await self._claim(request, ended):
            return Nothing()
        async with heartbeating():
            await self._stopper.stop(request.release_id, keep=0)
        return Nothing()

    async def _claim(self, request: StopRelease, ended: ReleaseState) -> bool:
        """Decide under the row's lock whether it is ours to stop; a crash after it is repeated by the retry.

        One without a row (a backup was restored) is unknown: a reconciler ends what still runs of it.
        """
        async with transaction(self._sessions) as session:
            releases = ReleaseRepository(session)
            try:
                release = await releases.get(request.release_id, lock=True)
            except NotFoundError:
                return False
            if request.only_if_retired and not await self._is_due(releases, release):
                return False
            await releases.move(release.id, ended)
            return True

    @staticmethod
    async def _is_due(releases: ReleaseRepository, release: Release) -> bool:
        """By the record: anybody who reaches Temporal can tell the entity of an environment another time.

        One whose time has not come by this clock is stopped by a reconciler when it has.
        """
        if release.state != ReleaseState.RETIRED or release.stop_after is None:
            return release.state in (ReleaseState.RETIRED, ReleaseState.STOPPED)
        return release.stop_after <= await releases.clock() + CLOCKS_DIFFER


def _check_service(service: ServiceSpec) -> None:
    """A build may be older than a rule of today."""
    if faults := faults_of(service):
        raise TerminalError(
            f"{'; '.join(faults)}. Mend delivery.yaml and build the version again",
            code=ErrorCode.SPEC_INVALID,
            details={"faults": list(faults)},
        )


def _new_release(request: OpenRelease, secrets: Sequence[dict[str, Any]]) -> NewRelease:
    """Its health checks come under the environment's host: many frameworks answer 400 to a host they do not know."""
    service = request.service
    if service.health.host is None:
        service = service.model_copy(update={"health": service.health.model_copy(update={"host": request.place.host})})
    return NewRelease(
        release_id=request.place.deployment_id,
        organization_id=request.place.organization_id,
        environment_id=request.place.environment_id,
        build_id=request.build_id,
        artifact_digest=request.artifact_digest,
        service=service.model_dump(mode="json"),
        replicas=request.service.replicas,
        secrets=secrets,
        processes={name: each.model_dump(mode="json") for name, each in request.processes.items()},
    )


def serves_no_more(current: Release | None) -> ConflictError:
    """Another release has the environment's traffic."""
    return ConflictError(
        "this deployment does not serve the environment any more; roll back the one that does",
        code=ErrorCode.INVALID_STATE,
        details={"current_deployment_id": str(current.deployment_id) if current else None},
    )


def nothing_before() -> ConflictError:
    """A first release cannot be taken back."""
    return ConflictError("there is no earlier healthy release to go back to", code=ErrorCode.NOTHING_TO_ROLL_BACK)


def release_ref(release: Release) -> ReleaseRef:
    """What workflows know of a release."""
    return ReleaseRef(
        release_id=UUID(str(release.id)),
        build_id=release.build_id,
        replicas=release.replicas,
        service=ServiceSpec.model_validate(release.service),
        processes={name: ProcessSpec.model_validate(each) for name, each in release.processes.items()},
    )
