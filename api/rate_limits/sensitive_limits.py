"""Limits of their own for what somebody may want to try often: tokens, logins, invitations. Harder than the others.

All are counted by where a request comes from, so that nobody uses up what is somebody else's.
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
    """`name`: what counters are called."""

    name: str
    windows: Sequence[RateWindow]


# One client at one address: a program needs one token an hour, and keeps it.
CLIENT_TOKENS: Final = Limit("token-client", [RateWindow("minute", 60, MINUTE_S)])
# All clients at one address, those it makes up too.
TOKENS: Final = Limit("token", [RateWindow("minute", 90, MINUTE_S)])
# A service may look every token up that it is shown; it is not counted as one without credentials.
CLIENT_LOOKUPS: Final = Limit("introspect-client", [RateWindow("minute", 1200, MINUTE_S)])
LOOKUPS: Final = Limit("introspect", [RateWindow("minute", 3000, MINUTE_S)])
# Forms that people send from the pages; passwords have limits beside this (api/oauth/throttle.py).
FORMS: Final = Limit("authorize", [RateWindow("minute", 60, MINUTE_S)])
# Refused logins that the audit log tells of, from one address and from all: a flood of them fills no disk.
TOLD: Final = Limit("login-told", [RateWindow("minute", 10, MINUTE_S)])
TOLD_OF_ALL: Final = Limit("login-told-of-all", [RateWindow("minute", 300, MINUTE_S)])
# Each may cost the hash of a password.
INVITATIONS: Final = Limit("invitation", [RateWindow("minute", 60, MINUTE_S), RateWindow("hour", 300, HOUR_S)])

# Deliveries of webhooks that an organization asks for beside what happens: one each, or many with a replay.
DELIVERIES: Final = Limit("asked-delivery", [RateWindow("minute", 60, MINUTE_S), RateWindow("day", 2000, DAY_S)])
REPLAYS: Final = Limit("replay", [RateWindow("hour", 10, HOUR_S)])


class OwnLimits:
    """Counts tries by address; while the store is away this process counts alone."""

    def __init__(self, limiter: Limiter, addresses: Addresses) -> None:
        self._limiter = limiter
        self._addresses = addresses

    def network(self, scope: Scope) -> str:
        """Where a request comes from, as one party."""
        return network_of(self._addresses.of(scope))

    async def wait_s(self, limit: Limit, scope: Scope, more: str = "") -> int:
        """Count a request, unless it is too much: whole seconds until one is looked at again; 0: this one is.

        Args:
            limit: which one.
            scope: of the request.
            more: what is counted apart, such as a client.
        """
        key = self.network(scope)
        if more:  # what somebody sent: of any length, with any characters
            key += f"/{hashlib.sha256(more.encode(errors='surrogatepass')).hexdigest()[:32]}"
        return (await self._limiter.hit(limit.name, key, limit.windows)).retry_after_s

    async def wait_of_s(self, limit: Limit, key: str) -> int:
        """As `wait_s`, of what is counted by something else than where it comes from, such as an organization."""
        return (await self._limiter.hit(limit.name, key, limit.windows)).retry_after_s

    async def tells(self, network: str) -> bool:
        """Count a refused login; whether the audit log is to tell of it."""
        mine = await self._limiter.hit(TOLD.name, network, TOLD.windows)
        return mine.allowed and (await self._limiter.hit(TOLD_OF_ALL.name, "all", TOLD_OF_ALL.windows)).allowed
