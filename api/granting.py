"""Nobody gives what they do not have."""

from collections.abc import Iterable
from datetime import datetime
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from api.auth.principal import Principal
from domain.access import MemberRole, Scope, may_give
from domain.errors import ForbiddenError
from runtime.ids import new_id, now
from runtime.tokens import MAX_TTL
from storage.repositories.revocations import RevocationRepository


def require_may_give(principal: Principal, role: MemberRole) -> None:
    """Raise `ForbiddenError` for a role that grants more than the giver's own."""
    if not may_give(principal.role, role):
        raise ForbiddenError(
            f"the role {role} grants more than your own, {principal.role}; ask somebody who has it",
            details={"role": role, "own_role": principal.role},
        )


def require_holds(principal: Principal, scopes: Iterable[Scope]) -> None:
    """Raise `ForbiddenError` naming the permissions that the giver's token does not carry."""
    if missing := sorted(set(scopes) - principal.permissions):
        raise ForbiddenError(
            f"your token does not carry {', '.join(missing)}: nobody can give more than they hold",
            details={"missing_permission": missing},
        )


async def end_tokens(
    session: AsyncSession, subject: str, organization_id: UUID | None, *, at: datetime | None = None
) -> None:
    """Refuse, from the commit on, what a subject was issued until now (None: in whichever organization)."""
    moment = at or now()
    await RevocationRepository(session).revoke_subject(
        new_id(), subject, organization_id, at=moment, until=moment + MAX_TTL
    )
