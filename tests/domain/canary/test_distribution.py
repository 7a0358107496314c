"""Intervals and distances of latencies in buckets."""

import numpy as np

from domain.canary.counts import WindowCounts
from domain.canary.distribution import P95, distances, final_radius, quantile_interval, sequential_radius

EVEN = tuple(float(10 * k) for k in range(1, 21))


def window(below: tuple[int, ...], timed: int) -> WindowCounts:
    return WindowCounts(requests=timed, timed=timed, bounds=EVEN, at_or_below=below)


def spread(timed: int, offset: int = 0) -> WindowCounts:
    """Evenly from 0 to 200 ms, moved up by some buckets."""
    return window(tuple(timed * max(k - offset, 0) // 20 for k in range(1, 21)), timed)


def test_the_interval_of_p95_holds_it_and_narrows():
    few, many = (quantile_interval(spread(n), P95, 0.01, 1) for n in (400, 100_000))
    assert few.low is not None
    assert few.low <= 190
    assert (many.low, many.high) == (180, 200)


def test_without_requests_nothing_is_known():
    assert quantile_interval(spread(0), P95, 0.01, 1) == (None, None)


def test_requests_worth_less_make_it_wider():
    plain, sticky = (quantile_interval(spread(2000), P95, 0.01, effect) for effect in (1, 20))
    assert plain.low is not None
    assert sticky.low is not None
    assert sticky.low < plain.low


def test_p95_stays_inside_its_interval_over_all_looks():
    random, runs, alpha, outside = np.random.default_rng(5), 60, 0.1, 0
    for _ in range(runs):
        total = WindowCounts()
        for _ in range(40):
            took = random.uniform(0, 200, 50)
            below = tuple(int((took <= bound).sum()) for bound in EVEN)
            total = total.plus(window(below, 50))
            low, high = quantile_interval(total, P95, alpha, 1)
            if (low is not None and low > 190) or (high is not None and high < 190):
                outside += 1
                break
    assert outside <= 12  # 6 are expected at most; twice as many would be a one in a hundred chance


def test_distances_by_hand():
    assert distances(spread(1000), spread(500)) == (0, 0)
    slower = distances(spread(1000, offset=2), spread(1000))
    assert (slower.faster, round(slower.slower, 6)) == (0, 0.1)


def test_radii_shrink_and_the_sequential_one_is_the_wider():
    assert sequential_radius(0, 0.01) == 1
    radii = [sequential_radius(n, 0.01) for n in (100, 1000, 10_000)]
    assert radii == sorted(radii, reverse=True)
    assert sequential_radius(10_000, 0.01) > final_radius(10_000, 1e12, 0.01)
