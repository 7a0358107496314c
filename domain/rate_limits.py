"""Rate limits: how many requests a plan allows in which windows, and what an answer says of them."""

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
    """At most `limit` requests from the first one on until `seconds` later; then it begins anew."""

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


# The contract's numbers; of enterprise those that hold until an organization is given its own.
PLANS: Mapping[Plan, Allowance] = {
    Plan.FREE: Allowance(100, 1_000, 10_000),
    Plan.PROFESSIONAL: Allowance(1_000, 50_000, 500_000),
    Plan.ENTERPRISE: Allowance(10_000, 500_000, 5_000_000),
}


def allowance_of(plan: Plan, per_minute: int | None, per_hour: int | None, per_day: int | None) -> Allowance:
    """What an organization may do: its plan's numbers, and on enterprise its own where it has some."""
    usual = PLANS[plan]
    if plan is not Plan.ENTERPRISE:
        return usual
    return Allowance(per_minute or usual.per_minute, per_hour or usual.per_hour, per_day or usual.per_day)


@dataclass(frozen=True)
class Quota:
    """One window of one bucket: `key` names the counter, `policy` is what the answer calls it."""

    key: str
    policy: str
    limit: int
    seconds: int


@dataclass(frozen=True)
class Count:
    """How far a quota is used up, this request included if it was allowed, and seconds until it begins anew."""

    quota: Quota
    used: int
    resets_in_s: float

    @property
    def remaining(self) -> int:
        """Requests left."""
        return max(0, self.quota.limit - self.used)


@dataclass(frozen=True)
class Decision:
    """Whether a request is allowed, and what is left of each of its quotas. A refused one is counted nowhere."""

    allowed: bool
    counts: Sequence[Count]

    @property
    def tightest(self) -> Count:
        """The one with the least left; of several the one that lasts longest."""
        return min(self.counts, key=lambda count: (count.remaining, -count.resets_in_s))

    @property
    def retry_after_s(self) -> int:
        """Whole seconds until the next request is allowed, without other requests; 0: it is allowed."""
        if self.allowed:
            return 0
        return max([1, *(math.ceil(count.resets_in_s) for count in self.counts if not count.remaining)])
