"""A principal can delegate only permissions it holds itself."""

from collections.abc import Iterable

from api.auth.principal import Principal
from domain.errors import ForbiddenError
from domain.permissions import MemberRole, Scope, may_give


def require_may_give(principal: Principal, role: MemberRole) -> None:
    """Raise `ForbiddenError` for a role that grants more than the giver's own."""
    if not may_give(principal.role, role):
        raise ForbiddenError(
            f"the role {role} grants more than your own, {principal.role}; ask somebody who has it",
            details={"role": role, "own_role": principal.role},
        )


def require_holds(principal: Principal, scopes: Iterable[Scope]) -> None:
    """Raise `ForbiddenError` naming the permissions that the giver's token or key does not carry."""
    if missing := sorted(set(scopes) - principal.permissions):
        raise ForbiddenError(
            f"your {principal.shown} does not carry {', '.join(missing)}: nobody can give more than they hold",
            details={"missing_permission": missing},
        )
