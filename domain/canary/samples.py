"""Individual latencies, for providers without buckets: a rank test at the last look, buckets for the rest.

A rank test is not valid for repeated looks, so samples are ignored before the last look.
"""

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import replace
from itertools import accumulate

from domain.canary.counts import SideCounts, WindowCounts
from domain.canary.latency_evidence import allowed_ms
from domain.canary.measurement import Measurement
from domain.canary.policy import AnalysisPolicy

_CELLS = 50


def with_samples(measurement: Measurement, canary: SideCounts, stable: SideCounts | None) -> Measurement:
    """The measurement with the samples of both sides sorted into computed buckets, if it had no buckets."""
    theirs = () if stable is None else stable.samples
    if measurement.canary.bounds or not canary.samples or (measurement.has_stable and not theirs):
        return measurement
    bounds = _bounds(canary.samples, theirs, measurement.policy)
    state = measurement.state.model_copy(
        update={
            "canary": measurement.state.canary.model_copy(
                update={"total": _filled(measurement.canary, canary.samples, bounds)}
            ),
            "stable": measurement.state.stable.model_copy(
                update={"total": _filled(measurement.stable, theirs, bounds)}
            ),
        }
    )
    return replace(measurement, state=state, canary_samples=canary.samples, stable_samples=theirs)


def _bounds(canary: Sequence[float], stable: Sequence[float], policy: AnalysisPolicy) -> tuple[float, ...]:
    """Quantiles of each side, the canary's allowance for the stable side's, and the policy's limit.

    So every part of both distributions has buckets, and the compared bounds are exact.
    """
    theirs = _quantiles(stable)
    limit = set() if policy.max_p95_ms is None else {policy.max_p95_ms}
    return tuple(sorted({0.0, *limit, *theirs, *(allowed_ms(each, policy) for each in theirs), *_quantiles(canary)}))


def _quantiles(samples: Sequence[float]) -> set[float]:
    ordered = sorted(samples)
    return {ordered[round(i / _CELLS * (len(ordered) - 1))] for i in range(_CELLS + 1) if ordered}


def _filled(counts: WindowCounts, samples: Sequence[float], bounds: tuple[float, ...]) -> WindowCounts:
    cells = [0] * (len(bounds) + 1)
    for sample in samples:
        cells[bisect_left(bounds, sample)] += 1
    below = tuple(accumulate(cells[:-1]))
    return counts.model_copy(update={"timed": len(samples), "bounds": bounds, "at_or_below": below})
