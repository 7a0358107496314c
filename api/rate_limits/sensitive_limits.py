"""Stricter limits for endpoints that attract guessing: tokens, logins, invitations.

All count by client IP, so that nobody can use up the limit of others.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from starlette.types import Scope

from api.http.client_ip import Addresses, network_of
from domain.rate_limits import DAY_S, HOUR_S, MINUTE_S, RateWindow
from runtime.limiting.limiter import Limiter


@dataclass(frozen=True)
class Limit:
    """`name`: the prefix of its counters."""

    name: str
    windows: Sequence[RateWindow]


# One client at one client IP: a program needs one token an hour, and keeps it.
CLIENT_TOKENS: Final = Limit("token-client", [RateWindow("minute", 60, MINUTE_S)])
# All clients at one client IP, including made-up ones.
TOKENS: Final = Limit("token", [RateWindow("minute", 90, MINUTE_S)])
# A service may introspect every token that it receives; it is not counted as unauthenticated.
CLIENT_LOOKUPS: Final = Limit("introspect-client", [RateWindow("minute", 1200, MINUTE_S)])
LOOKUPS: Final = Limit("introspect", [RateWindow("minute", 3000, MINUTE_S)])
# Forms of the OAuth pages; passwords have further limits (api/oauth/throttle.py).
FORMS: Final = Limit("authorize", [RateWindow("minute", 60, MINUTE_S)])
# Refused logins recorded in the audit log, per client IP and in total, so that a flood cannot fill the disk.
TOLD: Final = Limit("login-told", [RateWindow("minute", 10, MINUTE_S)])
TOLD_OF_ALL: Final = Limit("login-told-of-all", [RateWindow("minute", 300, MINUTE_S)])
# Each may cost a password hash.
INVITATIONS: Final = Limit("invitation", [RateWindow("minute", 60, MINUTE_S), RateWindow("hour", 300, HOUR_S)])

# Requested deliveries of an organization's webhooks: one each, or many with a replay.
DELIVERIES: Final = Limit("asked-delivery", [RateWindow("minute", 60, MINUTE_S), RateWindow("day", 2000, DAY_S)])
REPLAYS: Final = Limit("replay", [RateWindow("hour", 10, HOUR_S)])


class OwnLimits:
    """Counts attempts by client IP; while the store is down each process counts alone."""

    def __init__(self, limiter: Limiter, addresses: Addresses) -> None:
        self._limiter = limiter
        self._addresses = addresses

    def network(self, scope: Scope) -> str:
        """The network of a request's client, as one party."""
        return network_of(self._addresses.of(scope))

    async def wait_s(self, limit: Limit, scope: Scope, more: str = "") -> int:
        """Count a request if it is allowed, and return 0; else the whole seconds to wait.

        Args:
            limit: the limit.
            scope: of the request.
            more: a separate counter, such as of a client.
        """
        key = self.network(scope)
        if more:  # input of any length, with any characters
            key += f"/{hashlib.sha256(more.encode(errors='surrogatepass')).hexdigest()[:32]}"
        return (await self._limiter.hit(limit.name, key, limit.windows)).retry_after_s

    async def wait_of_s(self, limit: Limit, key: str) -> int:
        """As `wait_s`, with another key than the client IP, such as an organization."""
        return (await self._limiter.hit(limit.name, key, limit.windows)).retry_after_s

    async def tells(self, network: str) -> bool:
        """Count a refused login; returns whether to record it in the audit log."""
        mine = await self._limiter.hit(TOLD.name, network, TOLD.windows)
        return mine.allowed and (await self._limiter.hit(TOLD_OF_ALL.name, "all", TOLD_OF_ALL.windows)).allowed
