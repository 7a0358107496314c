"""4xx answers that do not count as errors: counters cannot distinguish a client's fault from the release's.

So a difference from the stable release is inconclusive: it neither fails nor passes, and a person decides. More of them
may be missing pages, fewer may be a login that is no longer required. The test has its own alpha, as the latency shape
has.
"""

import math
from collections.abc import Sequence

from domain.canary.error_metrics import rate_figures
from domain.canary.evidence import log_mean
from domain.canary.formatting import evidence_words, share
from domain.canary.late import log_compared
from domain.canary.measurement import LOG_DOUBTFUL, Measurement
from domain.canary.two_sample import Block, log_at_once
from domain.canary.verdict import Finding, Metric, MetricReport


def client_errors(measurement: Measurement) -> MetricReport:
    """Whether the canary's rate of 4xx differs from the stable release's, in either direction."""
    finding, reason = _compared(measurement)
    sides = [rate_figures(counts.client_errors, counts.requests) for counts in (measurement.canary, measurement.stable)]
    return MetricReport(metric=Metric.CLIENT_ERRORS, finding=finding, reason=reason, canary=sides[0], stable=sides[1])


def _compared(measurement: Measurement) -> tuple[Finding, str]:
    canary, stable = measurement.canary, measurement.stable
    limit = math.log(1 / measurement.policy.alpha)
    late = measurement.state.late
    first = _mean_of_both(measurement, measurement.state.refused_more, measurement.state.refused_fewer)
    laid = (*late.refused_more, *late.refused_fewer)
    evidence = log_compared(first, laid, late.placed_compared, last=measurement.last)
    words = (
        f"4xx: canary {share(canary.client_errors, canary.requests)}, stable "
        f"{share(stable.client_errors, stable.requests)}, {evidence_words(evidence, limit)}"
    )
    if measurement.lacks(canary.requests, stable.requests):
        return Finding.NO_DATA, f"{words}: {measurement.needed()} of each are needed"
    held = Finding.DOUBT if measurement.last else Finding.OPEN
    if _matters(measurement) and (evidence >= limit or (measurement.last and _at_once(measurement) >= LOG_DOUBTFUL)):
        return held, f"{words}: the two sides differ; list 4xx in analysis.errors if they are errors"
    if not measurement.last:  # like errors, required to be decided before a pass
        return Finding.GOOD, f"{words}: no evidence of a difference so far"
    return measurement.decided(words, measurement.state.compared)


def _mean_of_both(measurement: Measurement, more: Sequence[float], fewer: Sequence[float]) -> float:
    return log_mean([bet / measurement.policy.design_effect for bet in (*more, *fewer)])


def _at_once(measurement: Measurement) -> float:
    canary, stable = measurement.canary, measurement.stable
    mine, theirs = (canary.client_errors, canary.requests), (stable.client_errors, stable.requests)
    both = [log_at_once(Block(*mine, *theirs)), log_at_once(Block(*theirs, *mine))]
    return log_mean([log / measurement.policy.design_effect for log in both])


def _matters(measurement: Measurement) -> bool:
    """Whether the difference exceeds the tolerated effect."""
    rates = [side.client_errors / side.requests for side in (measurement.canary, measurement.stable)]
    return abs(rates[0] - rates[1]) * 100 >= measurement.policy.min_effect
