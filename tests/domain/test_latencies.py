"""The sketch: what percentiles are worth, and that parts add up to the whole."""

import math

from hypothesis import given
from hypothesis import strategies as st

from domain.latencies import ACCURACY, LEAST_MS, MOST_MS, add_bins, bin_of, count_until, percentiles, total_ms

LATENCY = st.floats(min_value=LEAST_MS, max_value=MOST_MS)
MANY = st.lists(LATENCY, min_size=1, max_size=200)
PERCENT = st.floats(min_value=0, max_value=100)


def sketch(latencies: list[float]) -> dict[int, int]:
    bins: dict[int, int] = {}
    for each in latencies:
        add_bins(bins, {bin_of(each): 1})
    return bins


def exact(latencies: list[float], percent: float) -> float:
    """The latency of the request that has this rank."""
    return sorted(latencies)[math.floor(percent / 100 * (len(latencies) - 1))]


@given(MANY, PERCENT)
def test_a_percentile_is_within_the_bound_of_the_request_of_that_rank(latencies, percent):
    [told] = percentiles(sketch(latencies), [percent])
    wanted = exact(latencies, percent)
    assert told is not None
    assert abs(told - wanted) <= ACCURACY * wanted * (1 + 1e-9)


@given(st.lists(st.lists(LATENCY, max_size=50), max_size=8), PERCENT)
def test_the_sketches_of_parts_add_up_to_that_of_the_whole_in_any_order(parts, percent):
    whole = [each for part in parts for each in part]
    forwards, backwards = {}, {}
    for part in parts:
        add_bins(forwards, sketch(part))
    for part in reversed(parts):
        add_bins(backwards, sketch(part))
    assert forwards == backwards == sketch(whole)
    [told] = percentiles(forwards, [percent])
    if whole:
        assert told is not None
        assert abs(told - exact(whole, percent)) <= ACCURACY * exact(whole, percent) * (1 + 1e-9)
    else:
        assert told is None


@given(MANY, LATENCY)
def test_a_histogram_of_the_sketch_counts_whole_bins(latencies, bound):
    counted = count_until(sketch(latencies), bound)
    assert sum(each <= bound for each in latencies) <= counted
    assert counted <= sum(each <= bound * (1 + 2.1 * ACCURACY) for each in latencies)


@given(MANY)
def test_the_sum_is_within_the_bound(latencies):
    assert math.isclose(total_ms(sketch(latencies)), sum(latencies), rel_tol=ACCURACY * (1 + 1e-9))


def test_what_cannot_be_measured_counts_at_the_ends_and_takes_no_room():
    assert bin_of(0) == bin_of(-5) == bin_of(LEAST_MS)
    assert bin_of(1e12) == bin_of(MOST_MS)
    assert bin_of(MOST_MS) - bin_of(LEAST_MS) + 1 == 897
