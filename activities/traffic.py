"""Traffic: shift it, and watch what it meets."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import replace
from http import HTTPStatus
from uuid import UUID

from temporalio import activity

from activities.failures import translate_errors
from activities.heartbeats import heartbeating
from activities.probes import Probe, Prober
from activities.records import refuse_if_over
from activities.recovery import InstanceRecovery
from activities.routing import RouteWriter
from contracts.payload import Nothing, bounded
from contracts.rollouts import (
    CHECK_PREVIEW,
    SHIFT_TRAFFIC,
    VERIFY_TRAFFIC,
    AppliedRoute,
    CheckPreview,
    ShiftTraffic,
    TrafficReport,
    VerifyTraffic,
)
from contracts.stubs import implements
from domain.delivery_spec import HealthSpec, ServiceSpec
from domain.errors import DeliveryError, ErrorCode, TerminalError
from drivers.routers.base import HeldBackError, Router, TrafficCounters
from runtime.ids import now
from storage.engine import Sessions, transaction
from storage.repositories.releases import ReleaseRepository
from storage.repositories.routing import RoutingRepository

PROBE_EVERY_S = 0.25
MAX_HELD_BACK = 4
MEASURE_LIMIT_S = 2.0


class TrafficActivities:
    """Writes the desired route, has it applied, and looks at the release through the router as a client would."""

    def __init__(
        self, *, sessions: Sessions, router: Router, writer: RouteWriter, prober: Prober, recovery: InstanceRecovery
    ) -> None:
        self._sessions = sessions
        self._router = router
        self._writer = writer
        self._prober = prober
        self._recovery = recovery

    @implements(SHIFT_TRAFFIC)
    @translate_errors
    async def shift(self, request: ShiftTraffic) -> AppliedRoute:
        await refuse_if_over(self._sessions)
        # Its counters are gone with its routes.
        measured = await self._met(request, request.keeps) if request.keeps else None
        shares = [(share.release_id, share.weight) for share in request.shares]
        async with transaction(self._sessions) as session:
            routes = RoutingRepository(session)
            if shares or request.previews:
                await routes.set_route(
                    request.environment_id, request.host, shares, previews=request.previews, sticky=request.sticky
                )
            else:
                await routes.remove_route(request.environment_id)
        try:
            needing = [str(release) for release in _named(request)]
            return AppliedRoute(generation=await self._writer.apply(needing=needing), measured=measured)
        except HeldBackError as error:
            await self._give_up_on_new(request, error)
            raise

    async def _met(self, request: ShiftTraffic, release_id: UUID) -> TrafficReport | None:
        """What clients met of a version since it was opened; None: unknown. The way back waits for no figures."""
        try:
            async with asyncio.timeout(MEASURE_LIMIT_S):
                counted = await self._router.counters([str(release_id)])
                async with transaction(self._sessions) as session:
                    release = await ReleaseRepository(session).get(release_id)
        except (DeliveryError, TimeoutError) as error:
            activity.logger.warning("nothing was measured of the version that gives its traffic back: %s", error)
            return None
        seconds = max(1.0, (now() - release.created_at).total_seconds())
        return _since_opened(request, counted[0], seconds) if len(counted) == 1 else None

    async def _give_up_on_new(self, request: ShiftTraffic, error: HeldBackError) -> None:
        """A new version that stays bad has failed; so has the way back to a stable one that cannot take the traffic.

        Not one whose instances went with their machine and are being started again. With neither of them healthy, the
        way back is tried on and on.
        """
        held = {release for release in _named(request) if str(release) in error.release_ids}
        if await self._recovery.coming_back(held) or activity.info().attempt < MAX_HELD_BACK:
            return
        async with transaction(self._sessions) as session:
            serving = await RoutingRepository(session).serving(request.environment_id)
        back = serving is not None and str(serving) in error.release_ids
        if back and request.keeps and await self._is_healthy(request.keeps):
            raise TerminalError(
                f"the traffic cannot go back: {error.message}; the new version, which is healthy, keeps it",
                code=ErrorCode.STABLE_UNHEALTHY,
                details=error.details,
            ) from error
        if not back:
            raise TerminalError(
                f"the router cannot reach the new version: {error.message}; its health path must answer fully, with "
                "2xx or 3xx, within the health timeout, and the service must stay up",
                code=ErrorCode.INSTANCE_UNHEALTHY,
                details=error.details,
            ) from error

    async def _is_healthy(self, release_id: UUID) -> bool:
        return any(seen.healthy for seen in await self._router.endpoint_health(str(release_id)))

    @implements(CHECK_PREVIEW)
    @translate_errors
    async def check_preview(self, request: CheckPreview) -> Nothing:
        async with transaction(self._sessions) as session:
            release = await ReleaseRepository(session).get(request.release_id)
        health = ServiceSpec.model_validate(release.service).health
        async with heartbeating():
            for path in (health.path, *request.paths):
                await self._check_path(request, release.preview_token, path, health)
        return Nothing()

    async def _check_path(self, request: CheckPreview, token: str | None, path: str, health: HealthSpec) -> None:
        """One path must answer well within `unhealthy_after` attempts; none counts while instances come back."""
        bad = 0
        while True:
            probe = await self._prober.through_router(request.host, path, health.timeout, preview=token)
            if _is_good(probe, health, request.host) and probe.release_id == str(request.release_id):
                return
            bad = 0 if await self._recovery.coming_back([request.release_id]) else bad + 1
            if bad >= health.unhealthy_after:
                raise TerminalError(
                    bounded(f"the new version failed its check before the switch: {probe.words}", 1024),
                    code=ErrorCode.PREVIEW_FAILED,
                    details={"path": path, "answered_by_release": probe.release_id},
                )
            await asyncio.sleep(health.interval)

    @implements(VERIFY_TRAFFIC)
    @translate_errors
    async def verify(self, request: VerifyTraffic) -> TrafficReport:
        async with transaction(self._sessions) as session:
            release = await ReleaseRepository(session).get(request.release_id)
        health = ServiceSpec.model_validate(release.service).health
        release_id = str(request.release_id)
        async with heartbeating():
            before = await self._router.counters([release_id])
            began = time.monotonic()
            probes = await self._watch(request, health)
            return report_of(probes, before, await self._router.counters([release_id]), time.monotonic() - began)

    async def _watch(self, request: VerifyTraffic, health: HealthSpec) -> Sequence[Probe]:
        """Probe through the router until the time is over; `unhealthy_after` bad answers in a row are a failure.

        While instances come back that went with their machine, no answer counts and the time begins anew.
        """
        end, bad, failed = time.monotonic() + request.seconds, 0, 0
        probes: list[Probe] = []
        while not probes or time.monotonic() < end or bad:
            probe = await self._prober.through_router(request.host, health.path, health.timeout)
            probes.append(probe)
            ok = _is_good(probe, health, request.host) and probe.release_id == str(request.release_id)
            if not ok and await self._recovery.coming_back([request.release_id]):
                end, bad, failed = time.monotonic() + request.seconds, 0, 0
                probes.clear()
            else:
                bad = 0 if ok else bad + 1
                failed += not ok
            if bad >= health.unhealthy_after:
                raise TerminalError(
                    bounded(f"the new version does not answer well behind the router: {probe.words}", 1024),
                    code=ErrorCode.TRAFFIC_UNVERIFIED,
                    details={
                        "answered_by_release": probe.release_id,
                        "expected_release": str(request.release_id),
                        "probes": len(probes),
                        "failed_probes": failed,
                    },
                )
            await asyncio.sleep(min(PROBE_EVERY_S, health.interval))
        return probes


def _is_good(probe: Probe, health: HealthSpec, host: str) -> bool:
    """A service that is probed under a name of its own may refuse the environment's: then an answer of it is enough.

    Its health is known from the router's checks, which use that name.
    """
    own_name = health.host not in (None, host)
    refused = probe.status is not None and HTTPStatus.BAD_REQUEST <= probe.status < HTTPStatus.INTERNAL_SERVER_ERROR
    return probe.healthy or (own_name and refused)


def _named(request: ShiftTraffic) -> tuple[UUID, ...]:
    """Every release that the route leads to."""
    return (*(share.release_id for share in request.shares), *request.previews)


def _since_opened(request: ShiftTraffic, counted: TrafficCounters, seconds: float) -> TrafficReport | None:
    """All that the router counted of a version, less our own requests; None: no client came."""
    requests = counted.requests - request.probes
    if requests <= 0:
        return None
    errors = min(requests, max(0, counted.errors_5xx - request.failed_probes))
    return TrafficReport(
        probes=request.probes,
        requests=requests,
        error_rate_percent=round(100 * errors / requests, 4),
        p95_response_time_ms=_quantile(replace(counted, latency_buckets={}), counted, 0.95),
        throughput_rps=round(requests / seconds, 2),
    )


def report_of(
    probes: Sequence[Probe], before: Sequence[TrafficCounters], after: Sequence[TrafficCounters], seconds: float
) -> TrafficReport:
    """Requests and errors between two readings; zero requests after a reset of the counters.

    The router counts our own probes like everybody's requests, so they are taken out again; only the latency is that
    of all answers.
    """
    nothing = TrafficReport(probes=len(probes), requests=0)
    if len(before) != 1 or len(after) != 1 or before[0].epoch != after[0].epoch:
        return nothing
    own = [probe for probe in probes if probe.release_id == after[0].release_id]
    failed = sum(probe.status is not None and probe.status >= HTTPStatus.INTERNAL_SERVER_ERROR for probe in own)
    requests = after[0].requests - before[0].requests - len(own)
    if requests <= 0:
        return nothing
    errors = max(0, after[0].errors_5xx - before[0].errors_5xx - failed)
    return TrafficReport(
        probes=len(probes),
        requests=requests,
        error_rate_percent=round(100 * min(errors, requests) / requests, 4),
        p95_response_time_ms=_quantile(before[0], after[0], 0.95),
        throughput_rps=round(requests / seconds, 2),
    )


def _quantile(before: TrafficCounters, after: TrafficCounters, share: float) -> float | None:
    """The upper bound in milliseconds of the bucket in which the quantile of the new answers lies."""
    counts = {bound: n - before.latency_buckets.get(bound, 0) for bound, n in after.latency_buckets.items()}
    total = max(counts.values(), default=0)
    finite = sorted(bound for bound in counts if bound != float("inf"))
    return next((bound for bound in finite if total and counts[bound] >= share * total), None)
