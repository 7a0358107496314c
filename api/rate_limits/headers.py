"""Headers about limits: the contract's, and those of draft-ietf-httpapi-ratelimit-headers."""

import math
import time
from collections.abc import Sequence

from domain.rate_limits import Decision, Quota

Headers = list[tuple[bytes, bytes]]


def policy_header(quotas: Sequence[Quota]) -> str:
    """`RateLimit-Policy`: a list (RFC 9651) of the quotas' names with their limits (q) and windows in seconds (w)."""
    return ", ".join(f'"{quota.policy}";q={quota.limit};w={quota.seconds}' for quota in quotas)


def limit_headers(decision: Decision, policy: str) -> Headers:
    """Both sets of headers; `RateLimit` has the remaining requests (r) and the seconds until reset (t) of each."""
    tightest = decision.tightest
    state = ", ".join(
        f'"{count.quota.policy}";r={count.remaining};t={math.ceil(count.resets_in_s)}' for count in decision.counts
    )
    return [
        (b"x-ratelimit-limit", b"%d" % tightest.quota.limit),
        (b"x-ratelimit-remaining", b"%d" % tightest.remaining),
        (b"x-ratelimit-reset", b"%d" % math.ceil(time.time() + tightest.resets_in_s)),
        (b"ratelimit-policy", policy.encode()),
        (b"ratelimit", state.encode()),
    ]
