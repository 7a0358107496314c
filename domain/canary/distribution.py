"""Distributions of latency in buckets: intervals for a quantile and for the whole, valid at every moment.

Howard and Ramdas (2022), "Sequential estimation of quantiles with applications to A/B testing and best-arm
identification". Buckets only make the intervals wider, since the distribution is known only at the bounds.
"""

import math
from bisect import bisect_left
from typing import NamedTuple

from domain.canary.counts import WindowCounts
from domain.canary.one_sample import log_above, log_below

P95 = 0.95


class Interval(NamedTuple):
    """An interval in ms that contains a quantile; None: below the first, or above the last bucket."""

    low: float | None
    high: float | None


class Distances(NamedTuple):
    """Largest distances of the canary's distribution function above (`faster`) and below (`slower`) the other."""

    faster: float
    slower: float


def quantile_interval(counts: WindowCounts, level: float, alpha: float, design_effect: float) -> Interval:
    """An interval for a quantile, with error probability alpha over all looks.

    The quantile is above a bound if more than `1 - level` of the requests are slower: evidence about one rate. Only the
    rate at the quantile itself can cause an error, so no correction for multiple bounds is needed.
    """
    needed = math.log(2 / alpha) * design_effect

    def not_above(i: int) -> bool:
        return log_above(counts.slower_than(i), counts.timed, 1 - level) < needed

    def below(i: int) -> bool:
        return log_below(counts.slower_than(i), counts.timed, 1 - level) >= needed

    indices = range(len(counts.bounds))
    first_not_above = bisect_left(indices, True, key=not_above)
    first_below = bisect_left(indices, True, key=below)
    low = counts.bounds[first_not_above - 1] if first_not_above else None
    high = counts.bounds[first_below] if first_below < len(indices) else None
    return Interval(low, high)


def distances(canary: WindowCounts, stable: WindowCounts) -> Distances:
    """The largest differences at any bound; both sides must have the same bounds and some requests."""
    gaps = [a / canary.timed - b / stable.timed for a, b in zip(canary.at_or_below, stable.at_or_below, strict=True)]
    return Distances(faster=max(0.0, *gaps), slower=max(0.0, *(-gap for gap in gaps)))


def sequential_radius(trials: float, alpha: float) -> float:
    """How far an empirical distribution function can be from the true one, at any moment (their theorem 2)."""
    if trials < 1:
        return 1.0
    iterated = math.log(math.log(math.e * trials)) + 0.8 * math.log(1612 / alpha)
    return min(1.0, 0.85 * math.sqrt(iterated / trials))


def final_radius(canary: float, stable: float, alpha: float) -> float:
    """How far two of them can be apart in one direction (Smirnov, asymptotic): valid for one look only."""
    return math.sqrt(math.log(1 / alpha) / 2 * (1 / canary + 1 / stable))
