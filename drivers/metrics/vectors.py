"""Converts Prometheus's answer for the judge. A value that is not a count is refused with a message, never guessed."""

import hashlib
import math
from collections.abc import Sequence

from pydantic import BaseModel, ValidationError

from domain.canary.counts import MAX_BOUNDS, SideCounts
from domain.errors import DependencyError
from domain.words import words_of

MS_PER_S = 1000
_TO_SUM = "wrap it in sum(...)"
_NO_COUNT = "which is no count; give the counter itself, not its rate or increase"


class Series(BaseModel):
    """One series of an instant vector: labels, and (time, number). A native histogram has no number."""

    metric: dict[str, str]
    value: tuple[float, str] | None = None

    def number(self, figure: str) -> float:
        if self.value is None:
            raise unusable(figure, "gave a native histogram; give its counters, or buckets with a label le")
        try:
            return float(self.value[1])
        except ValueError:
            raise unusable(figure, f"gave {self.value[1][:50]!r}, which is no number") from None


def unusable(figure: str, why: str) -> DependencyError:
    """The error for an unusable answer, by the key of its query."""
    return DependencyError(f"analysis.prometheus.{figure} {why}")


def side_counts(figures: dict[str, list[Series]]) -> SideCounts:
    """Counts of one release. A figure without series is zero: counters exist from their first increase on.

    Raises:
        DependencyError: the answer is unusable.
    """
    bounds, below, timed = _buckets(figures.get("latency_buckets", []))
    requests, errors = (_one(figures.get(figure, []), figure) for figure in ("requests", "errors"))
    if errors > requests:
        raise unusable("errors", f"gave {errors}, more than the {requests} requests that they are to be part of")
    try:
        return SideCounts(
            epoch=_epoch(figures),
            requests=requests,
            errors=errors,
            bounds=bounds,
            at_or_below=below,
            timed=timed,
        )
    except ValidationError as error:
        raise unusable("latency_buckets", f"{words_of(error.errors()[0])}") from None


def _epoch(figures: dict[str, list[Series]]) -> str:
    """Changes when an instance started, left or returned: its counters then do not continue the previous ones.

    Without `started`, at least a new counter is told apart from one that grew.
    """
    if "started" not in figures:
        return "" if figures.get("requests") else "no requests"
    seen = sorted((sorted(each.metric.items()), each.number("started")) for each in figures["started"])
    return hashlib.sha256(repr(seen).encode()).hexdigest()


def _one(series: Sequence[Series], figure: str) -> int:
    if len(series) > 1:
        raise unusable(figure, f"gave {len(series)} series where one number is needed; {_TO_SUM}")
    return _count(series[0], figure) if series else 0


def _count(series: Series, figure: str) -> int:
    number = series.number(figure)
    if not math.isfinite(number) or number < 0 or not number.is_integer():
        raise unusable(figure, f"gave {number:g}, {_NO_COUNT}")
    return int(number)


def _buckets(series: Sequence[Series]) -> tuple[tuple[float, ...], tuple[int, ...], int]:
    """Bounds in ms, the count at or below each, and the total."""
    if not series:
        return (), (), 0
    if len(series) > MAX_BOUNDS:
        raise unusable("latency_buckets", f"gave {len(series)} series, more than {MAX_BOUNDS}; use sum by (le) (...)")
    by_bound = {_bound(each): _count(each, "latency_buckets") for each in series}
    if len(by_bound) < len(series):
        raise unusable("latency_buckets", "gave several series for one le; use sum by (le) (...)")
    if math.inf not in by_bound:
        raise unusable("latency_buckets", 'gave no bucket le="+Inf", which counts all requests')
    bounds = sorted(bound for bound in by_bound if 0 < bound < math.inf)
    # Rounds binary fractions of seconds: 0.0035 s is 3.5 ms and not 3.5000000000000004.
    return (
        tuple(round(bound * MS_PER_S, 6) for bound in bounds),
        tuple(map(by_bound.__getitem__, bounds)),
        by_bound[math.inf],
    )


def _bound(series: Series) -> float:
    """The label `le`, in seconds."""
    try:
        bound = float(series.metric["le"])
    except (KeyError, ValueError):
        raise unusable(
            "latency_buckets", "gave a series without a number in the label le; use sum by (le) (...)"
        ) from None
    if math.isnan(bound):
        raise unusable("latency_buckets", "gave a bucket le=NaN")
    return bound
