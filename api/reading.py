"""Deployments as they are polled: many readers at one moment cost one statement."""

from collections.abc import Mapping, Sequence
from uuid import UUID

from domain.errors import NotFoundError
from storage.batched import Batched
from storage.engine import Sessions, transaction
from storage.models import Deployment
from storage.repositories.deployments import DeploymentRepository
from storage.tenancy import Tenant

Key = tuple[Tenant, UUID]


class DeploymentReader:
    """Reads single deployments; each tenant's in a statement of its own, with the tenant's filter in it."""

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions
        self._rows: Batched[Key, Deployment] = Batched(self._load)

    async def get(self, tenant: Tenant, deployment_id: UUID) -> Deployment:
        """The deployment as it is now; not part of a session, and not to be changed.

        Raises:
            NotFoundError: it does not exist, or not for this tenant.
            DependencyError: the database does not answer.
        """
        row = await self._rows.get((tenant, deployment_id))
        if row is None:
            raise NotFoundError(f"deployment {deployment_id} does not exist")
        return row

    async def _load(self, keys: Sequence[Key]) -> Mapping[Key, Deployment]:
        wanted: dict[Tenant, list[UUID]] = {}
        for tenant, deployment_id in keys:
            wanted.setdefault(tenant, []).append(deployment_id)
        found: dict[Key, Deployment] = {}
        async with transaction(self._sessions) as session:
            for tenant, ids in wanted.items():
                rows = await DeploymentRepository(session, tenant).several(ids)
                found.update({(tenant, row.id): row for row in rows})
        return found
