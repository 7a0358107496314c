"""Judging a release during a step of its rollout, until the judge or a person has decided."""

from uuid import UUID

from temporalio.exceptions import ApplicationError

from contracts.analysis import ANALYSE_RELEASE, AnalyseRelease, AnalysisReport
from contracts.payload import bounded
from domain.analysis import effective_policy
from domain.canary.policy import AnalysisPolicy
from domain.canary.verdict import Verdict
from domain.errors import ErrorCode
from domain.rollout import FULL
from workflows.activity_calls import cancel_when
from workflows.cancellation import Cancellation
from workflows.manual_controls import ManualControls
from workflows.release_steps import ReleaseSteps


class ReleaseAnalysis:
    """The analyses of one release."""

    def __init__(
        self, deployment_id: UUID, release: ReleaseSteps, controls: ManualControls, cancellation: Cancellation
    ) -> None:
        self._deployment_id = deployment_id
        self._release = release
        self._controls = controls
        self._cancellation = cancellation

    async def run(self, index: int, seconds: float, fraction: float) -> AnalysisReport | None:
        """Until it is decided. Undecided, a person decides: resume looks again, promote goes on, abort goes back.

        Args:
            index: of the plan's step.
            seconds: how long the judge may look.
            fraction: how much of the rollout is done.

        Returns:
            The last report; None when the release was promoted meanwhile.

        Raises:
            ApplicationError: the release failed.
        """
        policy = effective_policy(self._release.spec).model_copy(update={"duration": seconds})
        attempt, report = 0, None
        while not self._controls.promoted():
            attempt += 1
            report = await self._judge(policy, f"step-{index}-{attempt}", fraction)
            if report is None or report.verdict is Verdict.PASS:
                break
            reasons = "; ".join(report.reasons)
            if report.verdict is Verdict.FAIL or policy.on_inconclusive == "fail":
                raise ApplicationError(
                    bounded(f"analysis {report.verdict}: {reasons}"),
                    {"verdict": report.verdict, "reasons": list(report.reasons)},
                    type=ErrorCode.ANALYSIS_FAILED,
                    non_retryable=True,
                )
            if policy.on_inconclusive == "pass":
                break
            await self._controls.pause_for_people(f"analysis inconclusive: {reasons}", fraction=fraction)
        return report

    async def _judge(self, policy: AnalysisPolicy, key: str, fraction: float) -> AnalysisReport | None:
        """One analysis; None when the release was promoted meanwhile. A pause is no part of it."""
        held = 0.0
        while True:
            with self._controls.only_watching():
                report = await cancel_when(self._controls.interrupted, self._analyse(policy, key, held))
            if report is not None or not self._controls.held():
                return report
            held += await self._controls.hold(fraction=fraction)
            if self._controls.promoted():
                return None

    async def _analyse(self, policy: AnalysisPolicy, key: str, held: float) -> AnalysisReport:
        new, stable, weight = self._release.new, self._release.stable, self._release.weight
        request = AnalyseRelease(
            deployment_id=self._deployment_id,
            release_id=new.release_id,
            # With all of the traffic on the new version there is nothing beside it to compare with.
            stable_id=stable.release_id if stable and weight < FULL else None,
            key=key,
            policy=policy,
            held_seconds=held,
            weight=weight,
        )
        summary = f"judge for at most {policy.duration:g} s"
        return await self._cancellation.call(ANALYSE_RELEASE, request, summary=summary, only_looks=True)
