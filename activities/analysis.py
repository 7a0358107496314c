"""Analysis: look at both sides every second, ask the judge, keep what it says.

The judge is pure, but it runs here together with the measurement, so that its verdict is recorded and a replay on
another machine never computes floating point again.
"""

import asyncio
from dataclasses import dataclass

from activities.failures import reported
from activities.heartbeats import beating
from contracts.analysis import ANALYSE_RELEASE, AnalyseRelease, AnalysisReport
from contracts.payload import bounded
from contracts.stubs import implements
from domain.canary.judge import judge, unmeasurable, unmeasured
from domain.canary.state import JudgeState
from domain.canary.verdict import Judgement
from domain.errors import DependencyError, TerminalError
from drivers.metrics.registry import MetricProviders
from runtime.ids import now
from storage.engine import Sessions, transaction
from storage.repositories.analyses import AnalysisRepository

LOOK_EVERY_S = 1.0
RETRY_EVERY_S = 10.0
MAX_REASONS = 20


@dataclass(frozen=True)
class Look:
    """One look: what the judge said, and what it wants to remember."""

    judgement: Judgement
    state: JudgeState


class AnalysisActivities:
    """Drives the metric provider that a policy names, and the judge."""

    def __init__(self, sessions: Sessions, providers: MetricProviders, *, retry_every_s: float = RETRY_EVERY_S) -> None:
        self._sessions = sessions
        self._providers = providers
        self._retry_every_s = retry_every_s

    @implements(ANALYSE_RELEASE)
    @reported
    async def analyse(self, request: AnalyseRelease) -> AnalysisReport:
        async with beating():
            look = await self._look(request, await self._known_state(request))
            while not look.judgement.final:
                # While the metrics cannot be read, asking every second helps nobody.
                await asyncio.sleep(self._retry_every_s if look.judgement.unmeasured else LOOK_EVERY_S)
                look = await self._look(request, look.state)
        reasons = tuple(bounded(reason, 1024) for reason in look.judgement.reasons[:MAX_REASONS])
        return AnalysisReport(verdict=look.judgement.verdict, reasons=reasons)

    async def _known_state(self, request: AnalyseRelease) -> JudgeState:
        """Where an attempt before this one was; else the beginning."""
        async with transaction(self._sessions) as session:
            known = await AnalysisRepository(session).get(request.deployment_id, request.key)
        return JudgeState.model_validate(known.state) if known else JudgeState()

    async def _look(self, request: AnalyseRelease, state: JudgeState) -> Look:
        try:
            sides = await self._providers[request.policy.provider].read(self._releases(request), request.policy)
        except DependencyError as error:
            look = Look(*unmeasured(request.policy, state, error.message, now()))
        except TerminalError as error:
            look = Look(*unmeasurable(request.policy, state, error.message, now()))
        else:
            stable = sides.get(str(request.stable_id)) if request.stable_id else None
            canary = sides[str(request.release_id)]
            state = state.resumed(request.held_seconds, stable=stable, canary=canary)
            if state.canary.seen is None:
                # Counting starts now: what the stable release did before is not what it does beside the canary.
                begun = JudgeState.begin(state.started_at or now(), stable=stable, canary=canary)
                state = begun.model_copy(update={"held_s": state.held_s})
            look = Look(*judge(request.policy, state, stable, canary, now()))
        await self._keep(request, look)
        return look

    @staticmethod
    def _releases(request: AnalyseRelease) -> list[str]:
        return [str(release) for release in (request.release_id, request.stable_id) if release]

    async def _keep(self, request: AnalyseRelease, look: Look) -> None:
        state = look.state.model_dump(mode="json")
        judgement = {"weight": request.weight, **look.judgement.model_dump(mode="json")}
        async with transaction(self._sessions) as session:
            await AnalysisRepository(session).put(request.deployment_id, request.key, state=state, judgement=judgement)
