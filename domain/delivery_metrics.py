"""The DORA metrics of software delivery, and its waiting times. Definitions and sources: `docs/delivery-metrics.md`.

Unknown values are None, never 0.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

LONGEST: Final = timedelta(days=366)
USUAL: Final = timedelta(days=30)
_DAY_S: Final = 86_400.0


@dataclass(frozen=True)
class Range:
    """From `since` (inclusive) to `until` (exclusive)."""

    since: datetime
    until: datetime

    @property
    def days(self) -> float:
        """Its length."""
        return (self.until - self.since).total_seconds() / _DAY_S


@dataclass(frozen=True)
class Distribution:
    """Seconds: number of values, mean, median and 90th percentile."""

    measured: int
    mean: float | None
    median: float | None
    p90: float | None


@dataclass(frozen=True)
class Changes:
    """Changes that reached users.

    Attributes:
        live: deployments that became the stable version.
        days_with_one: days (UTC) with at least one of them.
        taken_back_after: those of them that were rolled back.
        taken_back_before: others that had traffic and were rolled back before they became the stable version.
    """

    live: int
    days_with_one: int
    taken_back_after: int
    taken_back_before: int

    @property
    def all(self) -> int:
        """All of them, rolled back or not."""
        return self.live + self.taken_back_before

    @property
    def failed(self) -> int:
        """Those that were rolled back."""
        return self.taken_back_after + self.taken_back_before

    @property
    def failure_percent(self) -> float | None:
        """0-100; None if there was no change."""
        return 100.0 * self.failed / self.all if self.all else None


@dataclass(frozen=True)
class Waits:
    """From request to live: the total, and its parts: waiting for people, waiting for other things, and work."""

    total: Distribution
    people: Distribution
    others: Distribution
    machine: Distribution


@dataclass(frozen=True)
class DeliveryMetrics:
    """All metrics of one scope."""

    changes: Changes
    lead_time: Distribution
    restore: Distribution
    waits: Waits


def range_of(since: datetime | None, until: datetime | None, now: datetime) -> Range:
    """The requested time range: the last 30 days, or 30 days from or until the given moment.

    Raises:
        ValueError: it is empty, or longer than 366 days.
    """
    try:
        end = until or (since + USUAL if since and since + USUAL < now else now)
        found = Range(since or end - USUAL, end)
    except OverflowError as error:
        raise ValueError("since and until must be moments of our time") from error
    if found.since >= found.until:
        raise ValueError("since must be before until, which is now if it is left out")
    if found.until - found.since > LONGEST:
        raise ValueError(f"the range may have {LONGEST.days} days at most; ask for a shorter one")
    return found
