"""Rate limits: the windows of each plan, and their report in a response."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

MINUTE_S, HOUR_S, DAY_S = 60, 3600, 86_400


class Plan(StrEnum):
    """The contract's plans."""

    FREE = "free"
    PROFESSIONAL = "professional"
    ENTERPRISE = "enterprise"


@dataclass(frozen=True)
class RateWindow:
    """At most `limit` requests within `seconds` of the first one; then a new window begins."""

    name: str
    limit: int
    seconds: int


@dataclass(frozen=True)
class Allowance:
    """Requests a minute, an hour and a day."""

    per_minute: int
    per_hour: int
    per_day: int

    @property
    def windows(self) -> tuple[RateWindow, RateWindow, RateWindow]:
        """The three of them, shortest first."""
        return (
            RateWindow("minute", self.per_minute, MINUTE_S),
            RateWindow("hour", self.per_hour, HOUR_S),
            RateWindow("day", self.per_day, DAY_S),
        )


# The contract's numbers; enterprise's apply until an organization has its own.
PLANS: Mapping[Plan, Allowance] = {
    Plan.FREE: Allowance(100, 1_000, 10_000),
    Plan.PROFESSIONAL: Allowance(1_000, 50_000, 500_000),
    Plan.ENTERPRISE: Allowance(10_000, 500_000, 5_000_000),
}


def allowance_of(plan: Plan, per_minute: int | None, per_hour: int | None, per_day: int | None) -> Allowance:
    """An organization's limits: its plan's, and on enterprise its own, if set."""
    usual = PLANS[plan]
    if plan is not Plan.ENTERPRISE:
        return usual
    return Allowance(per_minute or usual.per_minute, per_hour or usual.per_hour, per_day or usual.per_day)


@dataclass(frozen=True)
class Quota:
    """One window of one bucket: `key` names the counter, `policy` is its name in the response."""

    key: str
    policy: str
    limit: int
    seconds: int


@dataclass(frozen=True)
class Count:
    """The use of a quota, including this request if it was allowed, and the seconds until it is reset."""

    quota: Quota
    used: int
    resets_in_s: float

    @property
    def remaining(self) -> int:
        """Requests left."""
        return max(0, self.quota.limit - self.used)


@dataclass(frozen=True)
class Decision:
    """Whether a request is allowed, and the rest of each of its quotas. A refused request is not counted."""

    allowed: bool
    counts: Sequence[Count]

    @property
    def tightest(self) -> Count:
        """The quota with the least left; among equals the longest window."""
        return min(self.counts, key=lambda count: (count.remaining, -count.resets_in_s))

    @property
    def retry_after_s(self) -> int:
        """Whole seconds until the next request is allowed, if no others are sent; 0: it is allowed."""
        if self.allowed:
            return 0
        return max([1, *(math.ceil(count.resets_in_s) for count in self.counts if not count.remaining)])
