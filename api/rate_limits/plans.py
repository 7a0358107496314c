"""The limits of organizations, cached for a few seconds."""

import time
from collections.abc import Mapping, Sequence
from uuid import UUID

from domain.errors import DependencyError
from domain.rate_limits import PLANS, Allowance, Plan
from runtime.meter import cache_hit, cache_miss
from storage.dataloader import Batched
from storage.engine import Sessions, transaction
from storage.repositories.organizations import allowances

KNOWN_FOR_S = 10.0
MOST_KNOWN = 10_000


class Plans:
    """The allowances of organizations; changes reach every process by a notification, or when the cache expires."""

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions
        self._known: dict[UUID, tuple[Allowance, float]] = {}
        self._read: Batched[UUID, Allowance] = Batched(self._load)

    async def of(self, organization_id: UUID) -> Allowance:
        """The allowance of an organization; the last known one if the database does not answer."""
        allowance, until = self._known.get(organization_id, (PLANS[Plan.FREE], 0.0))
        if until > time.monotonic():
            cache_hit()
            return allowance
        cache_miss()
        try:
            allowance = await self._read.get(organization_id) or PLANS[Plan.FREE]
        except DependencyError:
            return allowance
        if len(self._known) >= MOST_KNOWN:
            self._known.clear()
        self._known[organization_id] = (allowance, time.monotonic() + KNOWN_FOR_S)
        return allowance

    def forget(self) -> None:
        """Reload on change; the old values stay until the database answers."""
        self._known = {one: (allowance, 0.0) for one, (allowance, _) in self._known.items()}

    async def _load(self, ids: Sequence[UUID]) -> Mapping[UUID, Allowance]:
        async with transaction(self._sessions) as session:
            return await allowances(session, ids)
