"""What is done to service accounts and applications alike."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from api.auth.principal import Principal
from api.services import audited_writes
from api.services.delegation import require_holds, require_may_give
from api.services.humans import remember
from api.services.revoke_access import end_client, end_client_tokens, end_tokens
from domain.approvals import UNKNOWN_HUMAN
from domain.clients import ClientKind
from domain.errors import ConflictError, ErrorCode, ForbiddenError, UnprocessableError
from domain.permissions import MemberRole, Role, Scope, granted, permissions_of
from runtime.credentials import CLIENT_SECRET, digest, new_secret
from storage.models import Client
from storage.repositories.clients import ClientRepository
from storage.repositories.organizations import OrganizationRepository


@dataclass(frozen=True)
class Clients:
    """The clients of one kind of one organization, in one transaction, for one caller."""

    session: AsyncSession
    principal: Principal
    organization_id: UUID
    kind: ClientKind

    @property
    def _holder(self) -> str:
        subject = self.principal.subject
        return f"{UNKNOWN_HUMAN}{subject}" if self.principal.is_foreign_machine else subject

    async def add(self, row: Client, *, confidential: bool, most: int) -> str | None:
        """Insert one; its secret, if it has one, is known to the caller alone. `most`: of this kind.

        Raises:
            NotFoundError: there is no such organization.
            ForbiddenError: QUOTA_EXCEEDED.
        """
        await OrganizationRepository(self.session, self.principal.tenant).get(self.organization_id, lock=True)
        clients = ClientRepository(self.session, self.principal.tenant)
        if await clients.count(self.organization_id, self.kind) >= most:
            raise ForbiddenError(
                f"an organization has at most {most} {self.kind.replace('_', ' ')}s; delete one first",
                code=ErrorCode.QUOTA_EXCEEDED,
                details={"quota": "clients_per_organization", "limit": most},
            )
        secret = new_secret(CLIENT_SECRET) if confidential else None
        row.secret_hash = digest(secret) if secret else None
        row.secret_holders = [self._holder] if self.principal.is_foreign_machine else []
        await remember(self.session, self.principal)
        await audited_writes.add(self.session, row)
        return secret

    async def held(self, client_id: UUID) -> Client:
        """One, locked.

        Raises:
            NotFoundError: there is none.
        """
        clients = ClientRepository(self.session, self.principal.tenant)
        return await clients.of(self.organization_id, self.kind, client_id, lock=True)

    async def new_secret(self, row: Client) -> str:
        """Replace the secret; the old one is invalid after the commit. Issued tokens stay valid until they expire.

        Raises:
            ConflictError: INVALID_STATE, it is deleted, or public.
            ForbiddenError: it may do more than the caller.
        """
        refuse_disabled(row)
        if row.secret_hash is None:
            raise ConflictError("a public client has no secret", code=ErrorCode.INVALID_STATE)
        require_holds(self.principal, _powers(row))  # whoever has the secret has these
        secret = new_secret(CLIENT_SECRET)
        await remember(self.session, self.principal)
        holders = sorted({*row.secret_holders, self._holder})
        values = {"secret_hash": digest(secret), "secret_by": self.principal.subject, "secret_holders": holders}
        await audited_writes.change(self.session, row, values, action="secret_rotated")
        return secret

    async def disable(self, row: Client, at: datetime) -> None:
        """Delete one: it stays in the records, and neither it nor its tokens are accepted from the commit on."""
        if row.disabled_at is None:
            await audited_writes.change(self.session, row, {"disabled_at": at}, action="deleted")
            await end_client(self.session, row)

    async def change(self, row: Client, values: dict[str, Any]) -> None:
        """Other values; a client that may do less than before has to fetch new tokens.

        Raises:
            ConflictError: INVALID_STATE, it is deleted.
        """
        refuse_disabled(row)
        powers, scopes = _powers(row), set(row.scopes)
        await audited_writes.change(self.session, row, values)
        if powers - _powers(row):
            await end_tokens(self.session, str(row.id), self.organization_id)
        elif scopes - set(row.scopes):  # of an application, whose tokens speak for others
            await end_client_tokens(self.session, row.id)


def scopes_of(principal: Principal, role: MemberRole, scopes: list[Scope] | None) -> list[Scope]:
    """The scopes of a service account, checked.

    Args:
        principal: who gives them.
        role: of the account.
        scopes: asked for; None: all that the role grants.

    Raises:
        ForbiddenError: the giver does not hold all of it.
        UnprocessableError: the role does not grant them.
    """
    require_may_give(principal, role)
    grants = permissions_of(Role(role))
    wanted = sorted(grants) if scopes is None else scopes
    if beyond := sorted(set(wanted) - grants):
        raise UnprocessableError(
            f"the role {role} does not grant {', '.join(beyond)}; leave them out, or choose another role",
            details={"field": "scopes", "role": role, "beyond": beyond},
        )
    require_holds(principal, wanted)
    return wanted


def refuse_disabled(row: Client) -> None:
    """Raise `ConflictError(INVALID_STATE)` for a deleted client."""
    if row.disabled_at is not None:
        raise ConflictError("it is deleted; make a new one", code=ErrorCode.INVALID_STATE)


def _powers(row: Client) -> frozenset[Scope]:
    """What it may do by itself; an application may nothing."""
    return granted(Role(row.role), row.scopes) if row.role else frozenset()
