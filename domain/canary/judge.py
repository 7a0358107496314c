"""The judge: at each look compares both sides and answers pass, fail or inconclusive, with reasons.

Pure and sequential: it may be called every second or once an hour. All its memory is in the state argument.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime

from domain.canary.accumulate import observe
from domain.canary.client_errors import client_errors
from domain.canary.counts import SideCounts
from domain.canary.error_metrics import error_rate, error_rate_limit
from domain.canary.formatting import number
from domain.canary.latency_metrics import latency, p95_limit
from domain.canary.measurement import Measurement
from domain.canary.policy import AnalysisPolicy
from domain.canary.samples import with_samples
from domain.canary.shape import latency_shape
from domain.canary.state import JudgeState
from domain.canary.verdict import Finding, Judgement, Metric, MetricReport, Verdict

_METRICS: Mapping[Metric, Callable[[Measurement], MetricReport]] = {
    Metric.ERROR_RATE: error_rate,
    Metric.CLIENT_ERRORS: client_errors,
    Metric.ERROR_RATE_LIMIT: error_rate_limit,
    Metric.LATENCY: latency,
    Metric.LATENCY_SHAPE: latency_shape,
    Metric.P95_LIMIT: p95_limit,
}
MAX_LOST = 0.5
"""Part of the time that may be lost to counter resets before a pass is withheld."""
_NOTHING_TO_JUDGE = (
    "there is nothing to judge by: no stable release is compared with and no limit is set; "
    "set analysis.max_error_rate or analysis.max_p95_ms"
)


def judge(
    policy: AnalysisPolicy, state: JudgeState, stable: SideCounts | None, canary: SideCounts, now: datetime
) -> tuple[Judgement, JudgeState]:
    """One look.

    Args:
        policy: what to decide, and with what error probabilities; the same at every look.
        state: from the last look; `JudgeState()` or `JudgeState.begin(...)` at the first.
        stable: cumulative counters of the stable release; None if there is none.
        canary: cumulative counters of the new release.
        now: with a time zone, and not earlier than at the last look.

    Returns:
        The judgement, and the state for the next look. Once failed it stays failed.
    """
    seen = observe(policy, state, stable, canary, now)
    measurement = Measurement(policy, seen, last=_elapsed(seen, now) >= policy.duration)
    if measurement.last:
        measurement = with_samples(measurement, canary, stable)
    reports = [_METRICS[metric](measurement) for metric in measurement.metrics()]
    harm = tuple(report.reason for report in reports if report.finding is Finding.HARM)
    if harm and seen.failed <= policy.failure_limit:  # a failed analysis keeps its reasons
        seen = seen.model_copy(update={"failed": seen.failed + 1, "harm": harm})
    verdict, final, reasons = _decide(policy, seen, measurement, reports)
    if (unknown := measurement.not_judged()) and unknown not in reasons:
        reasons = (*reasons, unknown)
    judgement = _judgement(seen, now, verdict, final=final, reasons=reasons, metrics=tuple(reports))
    return (judgement if measurement.last else _told_early(policy, judgement)), seen


def _told_early(policy: AnalysisPolicy, judgement: Judgement) -> Judgement:
    """A pass before the end states that the requested time was not used up."""
    if judgement.verdict is not Verdict.PASS:
        return judgement
    why = (
        f"passed early, after {number(judgement.elapsed_seconds)} of {number(policy.duration)} s, since pass_early "
        "is set and the evidence was in"
    )
    return judgement.model_copy(update={"early": True, "reasons": (why, *judgement.reasons)})


def unmeasured(policy: AnalysisPolicy, state: JudgeState, why: str, now: datetime) -> tuple[Judgement, JudgeState]:
    """A look without measurement. More than `error_limit` of them in a row end the analysis as inconclusive."""
    seen = state.model_copy(update={"unmeasured": state.unmeasured + 1, "started_at": state.started_at or now})
    if seen.failed > policy.failure_limit:
        return _judgement(seen, now, Verdict.FAIL, final=True, reasons=seen.harm), seen
    final = seen.unmeasured > policy.error_limit
    reason = (
        f"the metrics could not be measured {seen.unmeasured} times in a row ({policy.error_limit} are accepted): {why}"
    )
    return _judgement(seen, now, Verdict.INCONCLUSIVE, final=final, reasons=(reason,)), seen


def unmeasurable(policy: AnalysisPolicy, state: JudgeState, why: str, now: datetime) -> tuple[Judgement, JudgeState]:
    """A look without measurement that no retry can mend: the analysis ends, as inconclusive unless it has failed."""
    judgement, seen = unmeasured(policy, state, why, now)
    if judgement.final:
        return judgement, seen
    reason = f"the metrics cannot be measured: {why}"
    return judgement.model_copy(update={"final": True, "reasons": (reason,)}), seen


def _decide(
    policy: AnalysisPolicy, seen: JudgeState, measurement: Measurement, reports: Sequence[MetricReport]
) -> tuple[Verdict, bool, tuple[str, ...]]:
    harmed_now = any(report.finding is Finding.HARM for report in reports)
    if seen.failed > policy.failure_limit or (measurement.last and harmed_now):
        return Verdict.FAIL, True, seen.harm
    if not reports:
        return Verdict.INCONCLUSIVE, measurement.last, (_NOTHING_TO_JUDGE,)
    unsure = tuple(report.reason for report in reports if report.finding is not Finding.GOOD)
    if policy.asks_for_client_errors and (unknown := measurement.not_judged()):
        unsure = (*unsure, unknown)
    if measurement.last and seen.lost_seconds > policy.duration * MAX_LOST:
        unsure = (*unsure, _lost(policy, seen))
    if not unsure and (measurement.last or (policy.pass_early and measurement.has_enough)):
        return Verdict.PASS, True, tuple(report.reason for report in reports)
    return Verdict.INCONCLUSIVE, measurement.last, unsure or tuple(report.reason for report in reports)


def _judgement(
    seen: JudgeState,
    now: datetime,
    verdict: Verdict,
    *,
    final: bool,
    reasons: tuple[str, ...],
    metrics: tuple[MetricReport, ...] = (),
) -> Judgement:
    return Judgement(
        verdict=verdict,
        final=final,
        reasons=reasons,
        metrics=metrics,
        elapsed_seconds=round(_elapsed(seen, now), 1),
        gaps=seen.gaps,
        failed=seen.failed,
        unmeasured=seen.unmeasured,
    )


def _lost(policy: AnalysisPolicy, seen: JudgeState) -> str:
    times = "once" if seen.gaps == 1 else f"{seen.gaps} times"
    return (
        f"counters began anew {times}, so that nothing is known of {number(seen.lost_seconds)} s of the "
        f"{number(policy.duration)} s"
    )


def _elapsed(state: JudgeState, now: datetime) -> float:
    return max(0.0, (now - (state.started_at or now)).total_seconds())
