"""What the audit log says of a deed about a deployment."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession

from api.auth.principal import Principal
from domain.errors import DependencyError
from runtime.ids import new_id
from storage.engine import Sessions, transaction
from storage.models import AuditEntry, Deployment
from storage.repositories.audit import AuditRepository
from storage.tenancy import Tenant


def deployment_entry(
    principal: Principal, deployment: Deployment, action: str, *, reason: str | None, request_id: str, **facts: Any
) -> AuditEntry:
    """The entry of one person's deed; `state` is the deployment's before it."""
    return AuditEntry(
        id=new_id(),
        organization_id=deployment.organization_id,
        actor=principal.subject[:255],
        action=f"deployment.{action}",
        resource_type="deployment",
        resource_id=deployment.id,
        reason=reason or None,
        request_id=request_id[:255],
        details={"state": deployment.status, **facts},
    )


@asynccontextmanager
async def audited(
    sessions: Sessions, session: AsyncSession, tenant: Tenant, entry: Callable[..., AuditEntry]
) -> AsyncIterator[None]:
    """Around telling a workflow something: the entry stands if the workflow accepted it, and none if it refused.

    Without an answer nobody knows: what was told may be carried out when a worker is back. Then the entry stands too,
    in a transaction of its own, with `outcome: unknown`.
    """
    await AuditRepository(session, tenant).write(entry())
    try:
        yield
    except DependencyError:
        async with transaction(sessions) as apart:
            await AuditRepository(apart, tenant).write(entry(outcome="unknown"))
        raise
