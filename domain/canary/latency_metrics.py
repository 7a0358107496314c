"""What the latencies say: slower than the stable release, of another shape, or above the policy's limit."""

import math
from bisect import bisect_left

from domain.canary.counts import WindowCounts
from domain.canary.distribution import P95, quantile_interval
from domain.canary.evidence import log_mean
from domain.canary.latency_bets import SLOW_LEVELS, allowed_ms, log_levels, thresholds
from domain.canary.limit_rule import Rate, judged
from domain.canary.look import LOG_DOUBTFUL, Look
from domain.canary.ranks import SMALL_EFFECT, rank_test
from domain.canary.shape import largest_shift
from domain.canary.verdict import Figures, Finding, Metric, MetricReport
from domain.canary.words import evidence_words, milliseconds, share

MAX_SHIFT = 0.1
"""Part of the requests that may be slower beyond the tolerance before a pass is given early."""


def latency(look: Look) -> MetricReport:
    """Whether the canary is slower by more than the tolerance at the median or any higher quantile."""
    levels = log_levels(look.state.slower, SLOW_LEVELS, look.policy.design_effect)
    slower = _ranked(look, log_mean(list(levels.values())))
    found = _compared(look, slower, max(levels, key=lambda level: levels[level]))
    return look.report(Metric.LATENCY, slower, found, _figures(look, look.canary), _figures(look, look.stable))


def _ranked(look: Look, slower: float) -> float:
    """Evidence from samples, if there are any: one over the p-value where the effect is not negligible."""
    if not look.canary_samples or not look.stable_samples:
        return slower
    found = rank_test(look.canary_samples, [allowed_ms(sample, look.policy) for sample in look.stable_samples])
    return -math.log(max(found.p, 1e-300)) if found.delta >= SMALL_EFFECT else 0.0


def _compared(look: Look, slower: float, worst: float) -> tuple[Finding, str]:
    words = f"latency: {_p95s(look)}, {evidence_words(slower, look.log_limit(Metric.LATENCY))}"
    tolerance = f"{look.policy.latency_tolerance:g} %"
    if slower >= look.log_limit(Metric.LATENCY):
        return Finding.HARM, f"{words}: the canary is slower by more than {tolerance}{_where(look, worst)}"
    if look.lacks(look.canary.timed, look.stable.timed):
        return Finding.NO_DATA, f"{words}: {look.needed()} with latency of each are needed"
    if look.canary.bounds != look.stable.bounds:
        return Finding.NO_DATA, f"{words}: the two sides have different latency buckets; give them the same"
    if look.last and slower >= LOG_DOUBTFUL:
        return Finding.DOUBT, f"{words}: no proof, but too much to pass on{_where(look, worst)}"
    if largest_shift(look) <= MAX_SHIFT:
        return Finding.GOOD, f"{words}: the canary is not slower by more than {tolerance}"
    return look.at_last(f"{words}: no evidence of harm in the whole time", f"{words}: not decided")


def _p95s(look: Look) -> str:
    sides = {"canary": look.canary, "stable": look.stable}
    return ", ".join(f"{name} p95 {_p95(counts)}" for name, counts in sides.items())


def _p95(counts: WindowCounts) -> str:
    if not counts.timed:
        return "unknown"
    index = counts.quantile_index(P95)
    return milliseconds(None if index is None else counts.bounds[index], counts.bounds[-1])


def _where(look: Look, level: float) -> str:
    """The quantile that gives it away, and the two rates behind it."""
    at = thresholds(look.stable, level, look.policy)
    if at is None or look.canary.bounds != look.stable.bounds:
        return f" at p{100 * level:g}"
    mine, theirs = _slow(look.canary, at.canary), _slow(look.stable, at.stable)
    return f" at p{100 * level:g}: of the canary's requests {mine}, of stable's {theirs}"


def _slow(counts: WindowCounts, index: int) -> str:
    return f"{share(counts.slower_than(index), counts.timed)} took over {counts.bounds[index]:g} ms"


def p95_limit(look: Look) -> MetricReport:
    """Whether more than one in twenty of the canary's requests take longer than `max_p95_ms`."""
    canary, limit = look.canary, look.policy.max_p95_ms or 0.0
    index = bisect_left(canary.bounds, limit)
    if index == len(canary.bounds):
        lacking = "latency bucket as high" if canary.timed else "request with latency"
        why = f"p95 limit {limit:g} ms: there is no {lacking}, so it cannot be judged"
        return look.report(Metric.P95_LIMIT, 0.0, (Finding.NO_DATA, why), _figures(look, canary))
    told = f"p95 limit {limit:g} ms: of the canary's requests {_slow(canary, index)} (5 % may)"
    rate = Rate(canary.slower_than(index), canary.timed, 1 - P95)
    above, found = judged(look, Metric.P95_LIMIT, rate, told)
    return look.report(Metric.P95_LIMIT, above, found, _figures(look, canary, index))


def _figures(look: Look, counts: WindowCounts, index: int | None = None) -> Figures:
    at = counts.quantile_index(P95)
    low, high = quantile_interval(counts, P95, look.policy.alpha, look.policy.design_effect)
    return Figures(
        requests=counts.timed,
        bad=None if index is None else counts.slower_than(index),
        value=None if at is None else counts.bounds[at],
        low=low,
        high=high,
    )
