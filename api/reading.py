"""Deployments as they are polled: many readers at one moment cost one statement."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from uuid import UUID

from api.envelope import Prepared
from api.views import deployment_view
from domain.errors import NotFoundError
from storage.batched import Batched
from storage.engine import Sessions, transaction
from storage.models import Deployment
from storage.repositories.deployments import DeploymentRepository
from storage.tenancy import Tenant

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
    """Reads single deployments; each tenant's in a statement of its own, with the tenant's filter in it."""

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions
        self._rows: Batched[Key, ReadDeployment] = Batched(self._load)

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
        async with transaction(self._sessions) as session:
            for tenant, ids in wanted.items():
                rows = await DeploymentRepository(session, tenant).several(ids)
                found.update({(tenant, row.id): ReadDeployment(row) for row in rows})
        return found
