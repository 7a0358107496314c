"""The time ranges of metrics, and their steps."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum

from domain.errors import UnprocessableError

_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)


class TimeRange(StrEnum):
    """How far back, from now."""

    HOUR = "1h"
    SIX_HOURS = "6h"
    DAY = "24h"
    WEEK = "7d"
    MONTH = "30d"


class Aggregation(StrEnum):
    """The length of one point of the series."""

    MINUTE = "1m"
    FIVE_MINUTES = "5m"
    HOUR = "1h"


LENGTHS = {
    TimeRange.HOUR: timedelta(hours=1),
    TimeRange.SIX_HOURS: timedelta(hours=6),
    TimeRange.DAY: timedelta(days=1),
    TimeRange.WEEK: timedelta(days=7),
    TimeRange.MONTH: timedelta(days=30),
}
STEPS = {
    Aggregation.MINUTE: timedelta(minutes=1),
    Aggregation.FIVE_MINUTES: timedelta(minutes=5),
    Aggregation.HOUR: timedelta(hours=1),
}
# The finest steps by retention and size of the response: 1440 minutes, 2016 times five minutes, 720 hours.
FINEST = {
    TimeRange.HOUR: Aggregation.MINUTE,
    TimeRange.SIX_HOURS: Aggregation.MINUTE,
    TimeRange.DAY: Aggregation.MINUTE,
    TimeRange.WEEK: Aggregation.FIVE_MINUTES,
    TimeRange.MONTH: Aggregation.HOUR,
}
KEPT = {
    Aggregation.MINUTE: timedelta(hours=26),
    Aggregation.FIVE_MINUTES: timedelta(days=8),
    Aggregation.HOUR: timedelta(days=32),
}
"""Retention of each step length: somewhat longer than the range it can be requested for."""


def beginning(moment: datetime, step: timedelta) -> datetime:
    """The beginning of the step that contains a moment."""
    return moment - (moment - _EPOCH) % step


@dataclass(frozen=True)
class Window:
    """A requested range at a moment.

    Attributes:
        since: the beginning of the totals, whole steps of `precision` before `until`.
        until: now.
        step: of the series.
        precision: of the totals: the shortest steps with that retention.
    """

    since: datetime
    until: datetime
    step: timedelta
    precision: timedelta

    @classmethod
    def of(cls, time_range: TimeRange, aggregation: Aggregation, now: datetime) -> "Window":
        """The time range that ends now; its last step is still in progress."""
        precision = STEPS[FINEST[time_range]]
        return cls(
            since=beginning(now, precision) + precision - LENGTHS[time_range],
            until=now,
            step=STEPS[aggregation],
            precision=precision,
        )

    @property
    def first_step(self) -> datetime:
        """The series consists of whole steps: the first one may begin before the totals do."""
        return beginning(self.since, self.step)

    def steps(self) -> Iterator[datetime]:
        """The beginnings of all steps, including the one in progress."""
        step = self.first_step
        while step <= self.until:
            yield step
            step += self.step


def fitting(time_range: TimeRange) -> list[Aggregation]:
    """The aggregations allowed for a time range, finest first."""
    return [one for one in Aggregation if STEPS[one] >= STEPS[FINEST[time_range]]]


def chosen(time_range: TimeRange, aggregation: Aggregation | None) -> Aggregation:
    """The requested aggregation, or the finest that is allowed.

    Raises:
        UnprocessableError: it is too fine for the time range.
    """
    allowed = fitting(time_range)
    if aggregation is None:
        return allowed[0]
    if aggregation not in allowed:
        raise UnprocessableError(
            f"{aggregation} is too fine for {time_range}; ask for aggregation={' or '.join(allowed)}, or for less time",
            details={"aggregation": aggregation, "time_range": time_range, "allowed_aggregations": allowed},
        )
    return aggregation
