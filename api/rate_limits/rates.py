"""Counts a request by key or user and by organization; an unauthenticated one by client IP."""

from starlette.requests import HTTPConnection

from api.auth.principal import Principal
from api.http.client_ip import Addresses, network_of
from api.rate_limits.buckets import Buckets, of_member, of_one
from api.rate_limits.plans import Plans
from domain.rate_limits import Decision
from runtime.limiting.limiter import Limiter
from runtime.settings import Settings

Counted = tuple[Buckets, Decision]


class Rates:
    """The limits of one process's requests."""

    def __init__(self, settings: Settings, limiter: Limiter, plans: Plans, addresses: Addresses) -> None:
        self._settings = settings
        self._limiter = limiter
        self._plans = plans
        self._addresses = addresses

    async def count(self, request: HTTPConnection, principal: Principal | None) -> Counted | None:
        """Count a request; None if the store is unavailable: the request passes (fail open)."""
        buckets = await self._buckets(request, principal)
        decision = await self._limiter.take(buckets.quotas)
        return None if decision is None else (buckets, decision)

    async def _buckets(self, request: HTTPConnection, principal: Principal | None) -> Buckets:
        if principal is None:
            address = network_of(self._addresses.of(request.scope))
            return of_one("address", address, self._settings.anonymous_limit)
        if principal.organization_id is None:
            return of_one("platform", principal.credential, self._settings.platform_limit)
        allowance = await self._plans.of(principal.organization_id)
        return of_member(str(principal.organization_id), principal.credential, principal.requests_per_minute, allowance)
