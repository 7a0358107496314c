"""Deployments as they are polled: many readers at one moment cost one statement.

What it brings for `GET /deployments/{id}` (`make bench`, two cores): 1.35 times as many requests a second.
"""

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncEngine

from api.http.envelope import Prepared
from api.schemas.views import deployment_view
from domain.errors import NotFoundError
from runtime.meter import cache_hit, cache_miss
from storage.dataloader import Batched
from storage.engine import connection, create_sessions, transaction
from storage.models import Deployment
from storage.repositories.deployments import DeploymentRepository, versions
from storage.tenancy import Tenant

REMEMBERED = 2000
Key = tuple[Tenant, UUID]


@dataclass(frozen=True)
class ReadDeployment:
    """A row, and how it is answered to whoever sees no preview: made once for all who asked at the same moment."""

    row: Deployment

    @cached_property
    def answer(self) -> Prepared:
        """As GET answers it."""
        return Prepared.of(deployment_view(self.row))


class DeploymentReader:
    """Reads single deployments; each tenant's in a statement of its own, with the tenant's filter in it.

    Whoever asks is told what the database says at that moment. Most often it says that nothing changed since the last
    time: only the version of a row is asked for then, and the answer is still there.

    Args:
        engine: commits by itself; every statement stands alone.
    """

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self._sessions = create_sessions(engine)
        self._rows: Batched[Key, ReadDeployment] = Batched(self._load)
        self._known: OrderedDict[Key, tuple[int, ReadDeployment]] = OrderedDict()

    async def get(self, tenant: Tenant, deployment_id: UUID) -> ReadDeployment:
        """The deployment as it is now; not part of a session, and not to be changed.

        Raises:
            NotFoundError: it does not exist, or not for this tenant.
            DependencyError: the database does not answer.
        """
        row = await self._rows.get((tenant, deployment_id))
        if row is None:
            raise NotFoundError(f"deployment {deployment_id} does not exist")
        return row

    async def _load(self, keys: Sequence[Key]) -> Mapping[Key, ReadDeployment]:
        wanted: dict[Tenant, list[UUID]] = {}
        for tenant, deployment_id in keys:
            wanted.setdefault(tenant, []).append(deployment_id)
        found: dict[Key, ReadDeployment] = {}
        for tenant, ids in wanted.items():
            async with connection(self._engine) as connected:
                present = await versions(connected, tenant, ids)
            changed = [one for one, version in present.items() if not self._is_known((tenant, one), version)]
            if changed:
                await self._read(tenant, changed, present)
            # One that was deleted between the two statements is gone.
            found |= {(tenant, one): self._known[tenant, one][1] for one in present if (tenant, one) in self._known}
        self._forget_oldest()
        return found

    def _is_known(self, key: Key, version: int) -> bool:
        known = self._known.get(key)
        if known is None or known[0] != version:
            self._known.pop(key, None)
            cache_miss()
            return False
        cache_hit()
        self._known.move_to_end(key)
        return True

    async def _read(self, tenant: Tenant, ids: Sequence[UUID], present: Mapping[UUID, int]) -> None:
        """Rows may be newer than the versions that were seen: then they are read once more the next time."""
        async with transaction(self._sessions) as session:
            for row in await DeploymentRepository(session, tenant).several(ids):
                self._known[tenant, row.id] = present[row.id], ReadDeployment(row)

    def _forget_oldest(self) -> None:
        while len(self._known) > REMEMBERED:
            self._known.popitem(last=False)
