"""Analysis: look at both sides every second, ask the judge, keep what it says.

The judge is pure, but it runs here together with the measurement, so that its verdict is recorded and a replay on
another machine never computes floating point again.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from activities.failures import translate_errors
from activities.heartbeats import heartbeating
from activities.recovery import InstanceRecovery
from activities.watch_clock import WatchClock
from contracts.analysis import ANALYSE_RELEASE, AnalyseRelease, AnalysisReport
from contracts.payload import bounded
from contracts.stubs import implements
from domain.canary.judge import judge, unmeasurable, unmeasured
from domain.canary.metric_scope import MetricsPlace
from domain.canary.state import JudgeState
from domain.canary.verdict import Judgement
from domain.errors import DependencyError, TerminalError
from domain.timeline import Kind, sample
from drivers.metrics.registry import MetricProviders
from runtime.ids import now
from storage.engine import Sessions, transaction
from storage.repositories.analyses import AnalysisRepository
from storage.repositories.timeline import TimelineRepository

LOOK_EVERY_S = 1.0
RETRY_EVERY_S = 10.0
# Looks of one attempt that are not counted because instances come back; a service that never does is judged.
MAX_EXCUSED = 120
MAX_REASONS = 20


@dataclass(frozen=True)
class JudgeOutcome:
    """One look: what the judge said, and what it wants to remember."""

    judgement: Judgement
    state: JudgeState


class Excuses:
    """Whether errors tell nothing about a version: instances went with their machine and are being started again."""

    def __init__(self, recovery: InstanceRecovery | None, release_ids: Sequence[UUID]) -> None:
        self._recovery = recovery
        self._release_ids = release_ids
        self._left = MAX_EXCUSED

    async def hold(self) -> bool:
        """To be asked only when there are errors: it looks at processes."""
        if self._recovery is None or self._left <= 0 or not await self._recovery.coming_back(self._release_ids):
            return False
        self._left -= 1
        return True


@dataclass(frozen=True)
class Watch:
    """One attempt at an analysis: what is asked, for whom, what excuses errors, and its clock."""

    request: AnalyseRelease
    place: MetricsPlace
    excuses: Excuses
    clock: WatchClock


class AnalysisActivities:
    """Drives the metric provider that a policy names, and the judge."""

    def __init__(
        self,
        sessions: Sessions,
        providers: MetricProviders,
        recovery: InstanceRecovery | None = None,
        *,
        retry_every_s: float = RETRY_EVERY_S,
        wall: Callable[[], datetime] = now,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._sessions = sessions
        self._providers = providers
        self._recovery = recovery
        self._retry_every_s = retry_every_s
        self._wall = wall
        self._monotonic = monotonic

    @implements(ANALYSE_RELEASE)
    @translate_errors
    async def analyse(self, request: AnalyseRelease) -> AnalysisReport:
        async with heartbeating():
            excuses = Excuses(self._recovery, [each for each in (request.release_id, request.stable_id) if each])
            place, state, begun = await self._beginning(request)
            watch = Watch(request, place, excuses, WatchClock(begun, self._monotonic))
            look = await self._look(watch, state)
            while not look.judgement.final:
                # While the metrics cannot be read, asking every second is of no use.
                await asyncio.sleep(self._retry_every_s if look.judgement.unmeasured else LOOK_EVERY_S)
                look = await self._look(watch, look.state)
        reasons = tuple(bounded(reason, 1024) for reason in look.judgement.reasons[:MAX_REASONS])
        early = look.judgement.elapsed_seconds if look.judgement.early else None
        return AnalysisReport(verdict=look.judgement.verdict, reasons=reasons, passed_early_after=early)

    async def _beginning(self, request: AnalyseRelease) -> tuple[MetricsPlace, JudgeState, datetime]:
        """For whom it is, where an attempt before this one was (else the beginning), and the moment to go on from.

        That is the attempt's last look: time without observation, because everything was off, is made up for later.
        Time in which people held it is left out by the judge, so that the moment is later by it.
        """
        async with transaction(self._sessions) as session:
            analyses = AnalysisRepository(session)
            place = await analyses.place(request.deployment_id)
            known = await analyses.get(request.deployment_id, request.key)
        if known is None:
            return place, JudgeState(), self._wall()
        state = JudgeState.model_validate(known.state)
        held_s = max(0.0, request.held_seconds - state.held_s)
        return place, state, (state.looked_at or state.started_at or self._wall()) + timedelta(seconds=held_s)

    async def _look(self, watch: Watch, state: JudgeState) -> JudgeOutcome:
        request = watch.request
        provider = self._providers[request.policy.provider]
        try:
            sides = await provider.read(self._releases(request), request.policy, watch.place)
        except DependencyError as error:
            look = JudgeOutcome(*unmeasured(request.policy, state, error.message, watch.clock.now()))
        except TerminalError as error:
            look = JudgeOutcome(*unmeasurable(request.policy, state, error.message, watch.clock.now()))
        else:
            stable = sides.get(str(request.stable_id)) if request.stable_id else None
            canary = sides[str(request.release_id)]
            at = watch.clock.now()
            state = state.resumed(request.held_seconds, stable=stable, canary=canary)
            if state.canary.seen is None:
                # Counting starts now: what the stable release did before is not what it does beside the canary.
                begun = JudgeState.begin(state.started_at or at, stable=stable, canary=canary)
                state = begun.model_copy(update={"held_s": state.held_s})
            elif state.has_new_errors(stable, canary) and await watch.excuses.hold():
                state = state.passed_over(stable, canary).prolonged(LOOK_EVERY_S)
            look = JudgeOutcome(*judge(request.policy, state, stable, canary, at))
        await self._keep(request, look)
        return look

    @staticmethod
    def _releases(request: AnalyseRelease) -> list[str]:
        return [str(release) for release in (request.release_id, request.stable_id) if release]

    async def _keep(self, request: AnalyseRelease, look: JudgeOutcome) -> None:
        state = look.state.model_dump(mode="json")
        judgement = {"weight": request.weight, **look.judgement.model_dump(mode="json")}
        async with transaction(self._sessions) as session:
            await AnalysisRepository(session).put(request.deployment_id, request.key, state=state, judgement=judgement)
            await self._tell(TimelineRepository(session), request, look)

    async def _tell(self, timeline: TimelineRepository, request: AnalyseRelease, look: JudgeOutcome) -> None:
        """The look, and if it is the last one its verdict, on the timeline of the deployment."""
        deployment_id, judgement = request.deployment_id, look.judgement
        data = sample(look.state, judgement, request.weight)
        await timeline.sample(deployment_id, request.key, self._wall(), data)
        if judgement.final:
            reasons = [bounded(reason, 1024) for reason in judgement.reasons[:MAX_REASONS]]
            told = {"analysis": request.key, "verdict": judgement.verdict, "reasons": reasons, "weight": request.weight}
            await timeline.note(deployment_id, Kind.VERDICT, request.key, told)
