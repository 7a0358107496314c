"""Reports on the latencies: slower than the stable release, of a different shape, or above the policy's limit."""

import math
from bisect import bisect_left

from domain.canary.compared import Compared
from domain.canary.counts import WindowCounts
from domain.canary.distribution import P95, quantile_interval
from domain.canary.evidence import log_mean
from domain.canary.formatting import evidence_words, milliseconds, number, share
from domain.canary.late import log_compared
from domain.canary.latency_evidence import (
    SLOW_LEVELS,
    allowed_ms,
    at_all_bounds,
    log_all_bounds,
    log_levels,
    thresholds,
)
from domain.canary.measurement import LOG_DOUBTFUL, Measurement
from domain.canary.ranks import SMALL_EFFECT, rank_test
from domain.canary.resolution import too_coarse
from domain.canary.shape import largest_shift
from domain.canary.threshold_test import Rate, judged
from domain.canary.two_sample import log_at_once
from domain.canary.verdict import Figures, Finding, Metric, MetricReport

SEEN_LEVELS = SLOW_LEVELS[:-1]
"""Quantiles of the stable side that the buckets must cover; there may be too few requests to demand p99."""
MAX_SHIFT = 0.1
"""Part of the requests that may be slower beyond the tolerance for an early pass."""


def latency(measurement: Measurement) -> MetricReport:
    """Whether the canary is slower by more than the tolerance at the median or any higher quantile."""
    levels = log_levels(measurement.state.slower, SLOW_LEVELS, measurement.policy.design_effect)
    late = measurement.state.late
    laid = [bet for row in late.slower[-len(SLOW_LEVELS) :] for bet in row]
    first = log_mean(list(levels.values()))
    slower = _ranked(measurement, log_compared(first, laid, late.placed_compared, last=measurement.last))
    found = _compared(measurement, slower)
    return measurement.report(
        Metric.LATENCY,
        slower,
        found,
        _figures(measurement, measurement.canary),
        _figures(measurement, measurement.stable),
    )


def _ranked(measurement: Measurement, slower: float) -> float:
    """Evidence from samples, if there are any: 1 / p-value if the effect is not negligible."""
    if not measurement.canary_samples or not measurement.stable_samples:
        return slower
    found = rank_test(
        measurement.canary_samples, [allowed_ms(sample, measurement.policy) for sample in measurement.stable_samples]
    )
    return -math.log(max(found.p, 1e-300)) if found.delta >= SMALL_EFFECT else 0.0


def _compared(measurement: Measurement, slower: float) -> tuple[Finding, str]:  # noqa: PLR0911 - one way out a finding
    words = f"latency: {_p95s(measurement)}, {evidence_words(slower, measurement.log_limit(Metric.LATENCY))}"
    tolerance = f"{number(measurement.policy.latency_tolerance)} %"
    if slower >= measurement.log_limit(Metric.LATENCY):
        return Finding.HARM, f"{words}: the canary is slower by more than {tolerance}{_where(measurement)}"
    if measurement.lacks(measurement.canary.timed, measurement.stable.timed):
        return Finding.NO_DATA, f"{words}: {measurement.needed()} with latency of each are needed"
    if measurement.canary.bounds != measurement.stable.bounds:
        return Finding.NO_DATA, f"{words}: the two sides have different latency buckets; give them the same"
    if measurement.last and max(slower, _at_once(measurement)) >= LOG_DOUBTFUL:
        return Finding.DOUBT, f"{words}: no proof, but too much to pass on{_where(measurement)}"
    cannot = _unseen(measurement)
    if cannot:
        return (Finding.NO_DATA if measurement.last else Finding.OPEN), f"{words}: {cannot}"
    if largest_shift(measurement) <= MAX_SHIFT:
        return Finding.GOOD, f"{words}: the canary is not slower by more than {tolerance}"
    return measurement.decided(words, _judged(measurement))


def _at_once(measurement: Measurement) -> float:
    """Evidence of all counts as one block, compared or not; with samples, of the rank test."""
    if measurement.canary_samples:
        return 0.0
    return log_all_bounds(measurement.canary, measurement.stable, measurement.policy) / measurement.policy.design_effect


def _judged(measurement: Measurement) -> Compared:
    """Samples are compared all together; requests in buckets as the bets were placed."""
    if measurement.canary_samples:
        return Compared(canary=len(measurement.canary_samples), stable=len(measurement.stable_samples))
    return measurement.state.compared_timed


def _unseen(measurement: Measurement) -> str:
    """Why the buckets cannot show whether the canary is slower; empty: they can."""
    above = [level for level in SEEN_LEVELS if thresholds(measurement.stable, level, measurement.policy) is None]
    if above:
        highest = number(measurement.stable.bounds[-1])
        return f"stable's p{100 * above[0]:g} and the tolerance lie above the highest bucket ({highest} ms)"
    return too_coarse(measurement)


def _p95s(measurement: Measurement) -> str:
    sides = {"canary": measurement.canary, "stable": measurement.stable}
    return ", ".join(f"{name} p95 {_p95(counts)}" for name, counts in sides.items())


def _p95(counts: WindowCounts) -> str:
    if not counts.timed:
        return "unknown"
    index = counts.quantile_index(P95)
    return milliseconds(None if index is None else counts.bounds[index], counts.bounds[-1])


def _where(measurement: Measurement) -> str:
    """The two rates that show it best: those that differ most over all requests; empty if they contradict it."""
    if measurement.canary.bounds != measurement.stable.bounds:
        return ""
    found = at_all_bounds(measurement.canary, measurement.stable, measurement.policy)
    if not found:
        return ""
    at, block = max(found, key=lambda each: log_at_once(each[1]))
    if block.canary_hits * block.stable <= block.stable_hits * block.canary:
        return ""
    mine, theirs = _slow(measurement.canary, at.canary), _slow(measurement.stable, at.stable)
    return f": of the canary's requests {mine}, of stable's {theirs}"


def _slow(counts: WindowCounts, index: int) -> str:
    return f"{share(counts.slower_than(index), counts.timed)} took over {number(counts.bounds[index])} ms"


def p95_limit(measurement: Measurement) -> MetricReport:
    """Whether more than 5 % of the canary's requests take longer than `max_p95_ms`."""
    canary, limit = measurement.canary, measurement.policy.max_p95_ms or 0.0
    index = bisect_left(canary.bounds, limit)
    if index == len(canary.bounds):
        lacking = "latency bucket as high" if canary.timed else "request with latency"
        why = f"p95 limit {number(limit)} ms: there is no {lacking}, so it cannot be judged"
        return measurement.report(Metric.P95_LIMIT, 0.0, (Finding.NO_DATA, why), _figures(measurement, canary))
    told = f"p95 limit {number(limit)} ms: of the canary's requests {_slow(canary, index)} (5 % may)"
    late = measurement.state.late
    marks = [(mark.at_s, *mark.slow) for mark in late.marks]
    rate = Rate(canary.slower_than(index), canary.timed, 1 - P95, late.p95_above, marks)
    above, found = judged(measurement, Metric.P95_LIMIT, rate, told)
    return measurement.report(Metric.P95_LIMIT, above, found, _figures(measurement, canary, index))


def _figures(measurement: Measurement, counts: WindowCounts, index: int | None = None) -> Figures:
    at = counts.quantile_index(P95)
    low, high = quantile_interval(counts, P95, measurement.policy.alpha, measurement.policy.design_effect)
    return Figures(
        requests=counts.timed,
        bad=None if index is None else counts.slower_than(index),
        value=None if at is None else counts.bounds[at],
        low=low,
        high=high,
    )
