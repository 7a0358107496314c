"""The spread check: a release with the same median latency but a different shape does not pass.

Not a failure, since it may be no harm: faster for some, slower for others. It has its own alpha: the probability that
it holds back a release of the same shape.
"""

from domain.canary.counts import WindowCounts
from domain.canary.distribution import distances, final_radius, sequential_radius
from domain.canary.evidence import log_mean
from domain.canary.formatting import number, percent
from domain.canary.latency_evidence import FAST_LEVELS, allowed_index, log_levels
from domain.canary.measurement import Measurement
from domain.canary.verdict import Figures, Finding, Metric, MetricReport

MAX_CROSSING = 0.05
"""Part of the requests that may be faster while another part is slower, at some bounds."""
EARLY_CROSSING = 0.1
"""The shift that must be ruled out for an early pass."""


def latency_shape(measurement: Measurement) -> MetricReport:
    """Whether the two distributions cross, or the canary's fast requests are slower than the stable side's."""
    finding, reason = _compared(measurement)
    sides = (Figures(requests=counts.timed) for counts in (measurement.canary, measurement.stable))
    return MetricReport(
        metric=Metric.LATENCY_SHAPE, finding=finding, reason=reason, canary=next(sides), stable=next(sides)
    )


def _compared(measurement: Measurement) -> tuple[Finding, str]:
    canary, stable = measurement.canary, measurement.stable
    if measurement.lacks(canary.timed, stable.timed) or canary.bounds != stable.bounds:
        needed = measurement.needed()
        return Finding.NO_DATA, f"latency shape: {needed} with the same latency buckets are needed of each"
    gap = distances(canary, stable)
    faster, slower = map(percent, gap)
    words = f"latency shape: up to {faster} more of the canary's requests are faster, {slower} slower"
    certain, ruled_out = _radii(measurement)
    crossing = min(gap)
    held = Finding.DOUBT if measurement.last else Finding.OPEN
    if crossing - certain > MAX_CROSSING:
        return held, f"{words}, certain to {percent(certain)}: its shape has changed"
    fast = log_mean(list(log_levels(measurement.state.slower, FAST_LEVELS, measurement.policy.design_effect).values()))
    if fast >= measurement.log_limit(Metric.LATENCY):
        tolerance = number(measurement.policy.latency_tolerance)
        return held, f"{words}: what was fast has become slower by more than {tolerance} %"
    if crossing + ruled_out <= EARLY_CROSSING:
        return Finding.GOOD, f"{words}: close to the same shape"
    return measurement.at_last(f"{words}: no evidence of another shape", f"{words}: not decided")


def largest_shift(measurement: Measurement) -> float:
    """An upper bound, with error probability beta, of the part of requests slower beyond the tolerance at any bound."""
    canary, stable = measurement.canary, measurement.stable
    return _largest_seen(measurement, canary, stable) + _sequential(measurement, measurement.policy.beta)


def _largest_seen(measurement: Measurement, canary: WindowCounts, stable: WindowCounts) -> float:
    # Requests above all bounds may be slower by any amount.
    seen = canary.slower_than(len(canary.bounds) - 1) / canary.timed if canary.bounds else 1.0
    for index in range(len(stable.bounds)):
        at = allowed_index(stable.bounds, index, measurement.policy)
        if at is not None:
            slow = canary.slower_than(at) / canary.timed - stable.slower_than(index) / stable.timed
            seen = max(seen, slow)
    return seen


def _radii(measurement: Measurement) -> tuple[float, float]:
    """Error bounds of the observed distances: with probability alpha, and with beta for a pass."""
    canary, stable = (
        side.timed / measurement.policy.design_effect for side in (measurement.canary, measurement.stable)
    )
    certain = (
        final_radius(canary, stable, measurement.policy.alpha)
        if measurement.last
        else _sequential(measurement, measurement.policy.alpha)
    )
    return certain, _sequential(measurement, measurement.policy.beta)


def _sequential(measurement: Measurement, risk: float) -> float:
    sides = (side.timed / measurement.policy.design_effect for side in (measurement.canary, measurement.stable))
    return sum(sequential_radius(trials, risk / 2) for trials in sides)
