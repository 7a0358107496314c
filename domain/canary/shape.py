"""The spread check: a release whose latency has the same median but another shape is not passed.

Not a failure, since nothing says that it is harm: faster for some, slower for others. An alpha of its own holds for it:
the chance that a release of the same shape is held back by it.
"""

from domain.canary.counts import WindowCounts
from domain.canary.distribution import distances, final_radius, sequential_radius
from domain.canary.evidence import log_mean
from domain.canary.formatting import number, percent
from domain.canary.latency_evidence import FAST_LEVELS, allowed_index, log_levels
from domain.canary.look import Look
from domain.canary.verdict import Figures, Finding, Metric, MetricReport

MAX_CROSSING = 0.05
"""Part of the requests that may be faster, and at once another that may be slower, at some bounds."""
EARLY_CROSSING = 0.1
"""What must be ruled out before a pass is given early."""


def latency_shape(look: Look) -> MetricReport:
    """Whether the two distributions cross, or the canary's fast requests are slower than the stable side's."""
    finding, reason = _compared(look)
    sides = (Figures(requests=counts.timed) for counts in (look.canary, look.stable))
    return MetricReport(
        metric=Metric.LATENCY_SHAPE, finding=finding, reason=reason, canary=next(sides), stable=next(sides)
    )


def _compared(look: Look) -> tuple[Finding, str]:
    canary, stable = look.canary, look.stable
    if look.lacks(canary.timed, stable.timed) or canary.bounds != stable.bounds:
        return Finding.NO_DATA, f"latency shape: {look.needed()} with the same latency buckets are needed of each"
    gap = distances(canary, stable)
    faster, slower = map(percent, gap)
    words = f"latency shape: up to {faster} more of the canary's requests are faster, {slower} slower"
    certain, ruled_out = _radii(look)
    crossing = min(gap)
    held = Finding.DOUBT if look.last else Finding.OPEN
    if crossing - certain > MAX_CROSSING:
        return held, f"{words}, certain to {percent(certain)}: its shape has changed"
    fast = log_mean(list(log_levels(look.state.slower, FAST_LEVELS, look.policy.design_effect).values()))
    if fast >= look.log_limit(Metric.LATENCY):
        return held, f"{words}: what was fast has become slower by more than {number(look.policy.latency_tolerance)} %"
    if crossing + ruled_out <= EARLY_CROSSING:
        return Finding.GOOD, f"{words}: close to the same shape"
    return look.at_last(f"{words}: no evidence of another shape", f"{words}: not decided")


def largest_shift(look: Look) -> float:
    """At most this part of the requests is slower beyond the tolerance, at any bound, with risk beta."""
    canary, stable = look.canary, look.stable
    return _largest_seen(look, canary, stable) + _sequential(look, look.policy.beta)


def _largest_seen(look: Look, canary: WindowCounts, stable: WindowCounts) -> float:
    # What lies above all bounds may be slower by any amount.
    seen = canary.slower_than(len(canary.bounds) - 1) / canary.timed if canary.bounds else 1.0
    for index in range(len(stable.bounds)):
        at = allowed_index(stable.bounds, index, look.policy)
        if at is not None:
            slow = canary.slower_than(at) / canary.timed - stable.slower_than(index) / stable.timed
            seen = max(seen, slow)
    return seen


def _radii(look: Look) -> tuple[float, float]:
    """How far the distances seen may be off: with risk alpha, and with risk beta for a pass."""
    canary, stable = (side.timed / look.policy.design_effect for side in (look.canary, look.stable))
    certain = final_radius(canary, stable, look.policy.alpha) if look.last else _sequential(look, look.policy.alpha)
    return certain, _sequential(look, look.policy.beta)


def _sequential(look: Look, risk: float) -> float:
    sides = (side.timed / look.policy.design_effect for side in (look.canary, look.stable))
    return sum(sequential_radius(trials, risk / 2) for trials in sides)
