"""Latencies as a sketch: a few numbers that can be added up and give percentiles with a known error.

DDSketch (Masson, Rim, Lee, VLDB 2019): a latency counts in the bin `ceil(log(latency) / log(gamma))`, so that all
values of a bin are within 1 % of its middle. Adding the counts of two sketches, bin by bin, gives exactly the sketch of
both together.
"""

from collections.abc import Iterable, Mapping
from typing import Final

from ddsketch.ddsketch import BaseDDSketch
from ddsketch.mapping import LogarithmicMapping
from ddsketch.store import DenseStore

ACCURACY: Final = 0.01
"""The relative error of a percentile."""
LEAST_MS: Final = 0.01
MOST_MS: Final = 600_000.0
"""Bounds: faster and slower latencies count as these, so there are at most 897 bins."""
_MAPPING: Final = LogarithmicMapping(ACCURACY)

Bins = Mapping[int, int]
"""Requests by bin."""


def bin_of(milliseconds: float) -> int:
    """The bin of a latency."""
    return int(_MAPPING.key(min(max(milliseconds, LEAST_MS), MOST_MS)))


def add_bins(into: dict[int, int], bins: Bins) -> None:
    """Add one sketch to another."""
    for each, count in bins.items():
        into[each] = into.get(each, 0) + count


def percentiles(bins: Bins, wanted: Iterable[float]) -> list[float | None]:
    """The latency in milliseconds at each percentile; None without latencies."""
    sketch = BaseDDSketch(_MAPPING, _store(bins), DenseStore(), 0.0)
    return [sketch.get_quantile_value(percent / 100) for percent in wanted]


def count_until(bins: Bins, milliseconds: float) -> int:
    """Number of latencies up to this one, within the accuracy."""
    last = bin_of(milliseconds)
    return sum(count for each, count in bins.items() if each <= last)


def total_ms(bins: Bins) -> float:
    """The sum of all latencies, each counted as the middle of its bin."""
    return sum(count * float(_MAPPING.value(each)) for each, count in bins.items())


def _store(bins: Bins) -> DenseStore:
    """The same as adding each alone, in a hundredth of the time."""
    store = DenseStore()
    if bins:
        store.min_key, store.max_key = min(bins), max(bins)
        store.offset = store.min_key
        store.bins = [float(bins.get(each, 0)) for each in range(store.min_key, store.max_key + 1)]
        store.count = float(sum(store.bins))
    return store
