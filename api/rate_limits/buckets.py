"""The counters that a request counts in."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from api.rate_limits.headers import policy_header
from domain.rate_limits import MINUTE_S, Allowance, Quota, RateWindow

REMEMBERED = 10_000


@dataclass(frozen=True)
class Buckets:
    """The quotas of a request, and their names in answers."""

    quotas: Sequence[Quota]
    policy: str


@lru_cache(REMEMBERED)
def of_member(organization: str, credential: str, own_per_minute: int | None, allowance: Allowance) -> Buckets:
    """For a member of an organization: the plan applies to each user or key, and to all of them together.

    Args:
        organization: its id, the hash tag of all counters, so that a Redis cluster keeps them on one node.
        credential: the owner of the counter.
        own_per_minute: a key's own lower limit.
        allowance: of the organization.
    """
    per_minute = min(allowance.per_minute, own_per_minute or allowance.per_minute)
    own = Allowance(per_minute, allowance.per_hour, allowance.per_day)
    quotas = [
        *(_quota(f"{{{organization}}}:{credential}", "", window) for window in own.windows),
        *(_quota(f"{{{organization}}}", "organization-", window) for window in allowance.windows),
    ]
    return Buckets(quotas, policy_header(quotas))


@lru_cache(REMEMBERED)
def of_one(kind: str, name: str, per_minute: int) -> Buckets:
    """For callers without an organization: a client IP without credentials, or a platform admin."""
    quotas = [_quota(f"{{{kind}:{name}}}", f"{kind}-", RateWindow("minute", per_minute, MINUTE_S))]
    return Buckets(quotas, policy_header(quotas))


def _quota(key: str, prefix: str, window: RateWindow) -> Quota:
    return Quota(f"{key}:{window.name}", f"{prefix}{window.name}", window.limit, window.seconds)
