"""Counts of one side: readings of cumulative counters, and the differences between them."""

from itertools import pairwise
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

MAX_BOUNDS = 200
MAX_SAMPLES = 100_000


class WindowCounts(BaseModel):
    """Requests of some time span. `at_or_below[i]` of the `timed` requests took at most `bounds[i]` ms."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    requests: int = Field(default=0, ge=0)
    errors: int = Field(default=0, ge=0)
    client_errors: int = Field(default=0, ge=0, description="4xx that do not count as errors")
    timed: int = Field(default=0, ge=0, description="requests whose latency was measured; may be zero")
    bounds: tuple[float, ...] = Field(default=(), max_length=MAX_BOUNDS, description="ms, rising, finite")
    at_or_below: tuple[int, ...] = Field(default=(), max_length=MAX_BOUNDS)

    def plus(self, other: Self) -> Self:
        """The sum. Latencies with different bounds cannot be added: the later ones are kept."""
        if other.bounds != self.bounds and other.bounds:
            return other.model_copy(
                update={
                    "requests": self.requests + other.requests,
                    "errors": self.errors + other.errors,
                    "client_errors": self.client_errors + other.client_errors,
                }
            )
        return self._combine(other, 1)

    def minus(self, part: Self) -> Self:
        """The difference."""
        return self._combine(part, -1)

    def _combine(self, other: Self, sign: int) -> Self:
        below = other.at_or_below or (0,) * len(self.bounds)
        return self.model_copy(
            update={
                "requests": self.requests + sign * other.requests,
                "errors": self.errors + sign * other.errors,
                "client_errors": self.client_errors + sign * other.client_errors,
                "timed": self.timed + sign * other.timed,
                "at_or_below": tuple(a + sign * b for a, b in zip(self.at_or_below, below, strict=True)),
            }
        )

    def slower_than(self, index: int) -> int:
        """Timed requests that took longer than a bound."""
        return self.timed - self.at_or_below[index]

    def quantile_index(self, level: float) -> int | None:
        """The index of the lowest bound that at least this share of the requests kept; None if above all bounds."""
        if not self.timed:
            return None
        return next((i for i, n in enumerate(self.at_or_below) if n >= level * self.timed), None)


class SideCounts(BaseModel):
    """One reading of a side's cumulative counters.

    A new `epoch` means that the counters were reset. The bounds do not include infinity: `requests` is its count.
    `samples` (ms) are for providers without buckets, and only used when the analysis ends.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    epoch: str = Field(default="", max_length=128)
    requests: int = Field(default=0, ge=0)
    errors: int = Field(default=0, ge=0)
    client_errors: int | None = Field(
        default=None, ge=0, description="4xx that do not count as errors; not given: nobody counts them"
    )
    bounds: tuple[float, ...] = Field(default=(), max_length=MAX_BOUNDS, description="ms, rising, finite")
    at_or_below: tuple[int, ...] = Field(
        default=(), max_length=MAX_BOUNDS, description="cumulative, as Prometheus has it"
    )
    timed: int | None = Field(default=None, ge=0, description="requests in the buckets; not given: all requests")
    samples: tuple[float, ...] = Field(default=(), max_length=MAX_SAMPLES)

    @model_validator(mode="after")
    def _buckets_fit(self) -> Self:
        if len(self.bounds) != len(self.at_or_below):
            raise ValueError("each latency bound needs one count: give bounds and at_or_below the same length")
        if any(not low < high for low, high in pairwise((0.0, *self.bounds, float("inf")))):
            raise ValueError("latency bounds must be finite, above 0 and rising")
        if any(low > high for low, high in pairwise((0, *self.at_or_below))):
            raise ValueError("latency buckets must be cumulative: a higher bound never has a lower count")
        return self

    @property
    def latencies(self) -> int:
        """Requests in the buckets, including infinity."""
        if not self.bounds:
            return 0
        return max(self.requests if self.timed is None else self.timed, self.at_or_below[-1])


def since(seen: SideCounts, now: SideCounts) -> WindowCounts | None:
    """The counts between two readings; None over a gap: another epoch, other bounds, or a counter that fell."""
    if (seen.epoch, seen.bounds) != (now.epoch, now.bounds):
        return None
    below = tuple(b - a for a, b in zip(seen.at_or_below, now.at_or_below, strict=True))
    requests, errors = now.requests - seen.requests, now.errors - seen.errors
    timed = now.latencies - seen.latencies
    refused = (now.client_errors or 0) - (seen.client_errors or 0)
    if min(requests, errors, refused, timed, *below, 0) < 0:
        return None
    # Counters of a running proxy are not read atomically: cap the errors at the requests.
    below = tuple(min(count, timed) for count in below)
    errors = min(errors, requests)
    return WindowCounts(
        requests=requests,
        errors=errors,
        client_errors=min(refused, requests - errors),
        timed=timed,
        bounds=now.bounds,
        at_or_below=below,
    )
