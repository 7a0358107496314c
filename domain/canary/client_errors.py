"""4xx answers that do not count as errors: counters cannot tell a client's fault from the release's.

So a difference from the stable release never fails a release, but it is not passed either: a person looks. More of
them may be pages that are gone, fewer may be a login that is no longer asked for. An alpha of its own holds for it, as
for the shape of the latency.
"""

import math
from collections.abc import Sequence

from domain.canary.error_metrics import rate_figures
from domain.canary.evidence import log_mean
from domain.canary.formatting import evidence_words, share
from domain.canary.late import log_compared
from domain.canary.look import LOG_DOUBTFUL, Look
from domain.canary.two_sample import Block, log_at_once
from domain.canary.verdict import Finding, Metric, MetricReport


def client_errors(look: Look) -> MetricReport:
    """Whether the canary answers with 4xx as often as the stable release, in either direction."""
    finding, reason = _compared(look)
    sides = [rate_figures(counts.client_errors, counts.requests) for counts in (look.canary, look.stable)]
    return MetricReport(metric=Metric.CLIENT_ERRORS, finding=finding, reason=reason, canary=sides[0], stable=sides[1])


def _compared(look: Look) -> tuple[Finding, str]:
    canary, stable = look.canary, look.stable
    limit = math.log(1 / look.policy.alpha)
    late = look.state.late
    first = _mean_of_both(look, look.state.refused_more, look.state.refused_fewer)
    laid = (*late.refused_more, *late.refused_fewer)
    evidence = log_compared(first, laid, late.placed_compared, last=look.last)
    words = (
        f"4xx: canary {share(canary.client_errors, canary.requests)}, stable "
        f"{share(stable.client_errors, stable.requests)}, {evidence_words(evidence, limit)}"
    )
    if look.lacks(canary.requests, stable.requests):
        return Finding.NO_DATA, f"{words}: {look.needed()} of each are needed"
    held = Finding.DOUBT if look.last else Finding.OPEN
    if _matters(look) and (evidence >= limit or (look.last and _at_once(look) >= LOG_DOUBTFUL)):
        return held, f"{words}: the two sides differ; list 4xx in analysis.errors if they are errors"
    if not look.last:  # like errors, they are waited for as long as a pass is
        return Finding.GOOD, f"{words}: no evidence of a difference so far"
    return look.decided(words, look.state.compared)


def _mean_of_both(look: Look, more: Sequence[float], fewer: Sequence[float]) -> float:
    return log_mean([bet / look.policy.design_effect for bet in (*more, *fewer)])


def _at_once(look: Look) -> float:
    canary, stable = look.canary, look.stable
    mine, theirs = (canary.client_errors, canary.requests), (stable.client_errors, stable.requests)
    both = [log_at_once(Block(*mine, *theirs)), log_at_once(Block(*theirs, *mine))]
    return log_mean([log / look.policy.design_effect for log in both])


def _matters(look: Look) -> bool:
    """Whether the difference exceeds the tolerated effect."""
    rates = [side.client_errors / side.requests for side in (look.canary, look.stable)]
    return abs(rates[0] - rates[1]) * 100 >= look.policy.min_effect
