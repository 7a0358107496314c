"""What the audit log says of a deed: who, from where, what to which resource."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from api.auth.actor import MAX_WORD, current_actor
from domain.audit import noun_of
from runtime.ids import new_id
from storage.models import AuditEntry, Base, Deployment, Organization
from storage.repositories.audit import AuditRepository
from storage.tenancy import PLATFORM


async def record(
    session: AsyncSession,
    action: str,
    *,
    resource_type: str,
    resource_id: UUID | None = None,
    organization_id: UUID | None = None,
    actor: str | None = None,
    reason: str | None = None,
    **details: Any,
) -> None:
    """Write a deed that changes no row (a refused login), in the caller's transaction.

    Args:
        session: commit it also when the request is refused.
        action: `noun.verb`, at most 64 characters.
        resource_type: the noun.
        resource_id: None where there is no one resource.
        organization_id: whose log it is in; None: the platform's.
        actor: None: the principal of this request.
        reason: in words.
        details: small, and never secrets.
    """
    entry = _entry(action, resource_type, resource_id, organization_id, reason=reason, details=details)
    entry.actor = (actor or entry.actor)[:MAX_WORD]
    await AuditRepository(session, PLATFORM).write(entry)


def row_entry(
    row: Base, action: str, *, changes: Mapping[str, Any], reason: str | None = None, details: Mapping[str, Any]
) -> AuditEntry:
    """The entry of a change of a row; `action` is the verb alone."""
    noun = noun_of(row.__tablename__)
    found: Any = row
    key = getattr(found, "id", None)
    named = dict(details) if isinstance(key, UUID) else {"key": str(key), **details}
    organization_id = found.id if isinstance(row, Organization) else getattr(found, "organization_id", None)
    entry = _entry(
        f"{noun}.{action}",
        noun,
        key if isinstance(key, UUID) else None,
        organization_id,
        reason=reason,
        details=named,
    )
    entry.changes = dict(changes)
    return entry


def deployment_entry(deployment: Deployment, action: str, *, reason: str | None, **facts: Any) -> AuditEntry:
    """The entry of what one person wants of a deployment; `state` is the deployment's before it."""
    return row_entry(deployment, action, changes={}, reason=reason, details={"state": deployment.status, **facts})


def _entry(
    action: str,
    resource_type: str,
    resource_id: UUID | None,
    organization_id: UUID | None,
    *,
    reason: str | None,
    details: Mapping[str, Any],
) -> AuditEntry:
    who = current_actor()
    return AuditEntry(
        id=new_id(),
        organization_id=organization_id,
        actor=who.subject,
        credential=who.credential,
        address=who.address,
        action=action,
        resource_type=resource_type,
        resource_id=resource_id,
        reason=reason or None,
        request_id=who.request_id,
        details=dict(details),
        changes={},
    )
