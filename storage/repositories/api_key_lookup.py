"""Lookup of API keys by their hash, with the present state of their creator."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import and_, bindparam, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from domain.api_keys import CreatorKind
from domain.permissions import Role
from storage.models import ApiKey, Client, Membership, User


@dataclass(frozen=True)
class CheckedKey:
    """A key and its creator's present state: gone or not, role (None: no record here), email.

    `creator_scopes`: a service account's own scopes; None: only its role limits the creator.
    """

    key: ApiKey
    creator_gone: bool
    creator_role: Role | None
    email: str
    creator_scopes: frozenset[str] | None = None


@dataclass(frozen=True)
class KeyUse:
    """When and from where a key was last used."""

    at: datetime
    address: str


class KeyChecks:
    """Reads across all tenants: the key determines the tenant."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def by_hash(self, hashes: Iterable[str]) -> Mapping[str, CheckedKey]:
        """Those of the hashes that belong to a key, valid or not; each costs one index lookup."""
        statement = (
            select(ApiKey, Membership.role, User, Client)
            .outerjoin(User, User.id == ApiKey.creator_id)
            .outerjoin(
                Membership,
                and_(Membership.user_id == ApiKey.creator_id, Membership.organization_id == ApiKey.organization_id),
            )
            .outerjoin(Client, Client.id == ApiKey.creator_id)
            .where(ApiKey.key_hash.in_(list(hashes)))
        )
        rows = (await self._session.execute(statement)).all()
        return {row[0].key_hash: _checked(*row) for row in rows}

    async def note_uses(self, uses: Mapping[UUID, KeyUse]) -> Sequence[UUID]:
        """Write when keys were last used; returns the ids written. Locked rows are skipped."""
        free = select(ApiKey.id).where(ApiKey.id.in_(list(uses))).order_by(ApiKey.id)
        ids = (await self._session.scalars(free.with_for_update(skip_locked=True, key_share=True))).all()
        table = ApiKey.__table__
        statement = (
            update(ApiKey)
            .where(table.c.id == bindparam("key_id"))
            # A use is not a change of the key.
            .values(last_used_at=bindparam("at"), last_used_address=bindparam("address"), updated_at=ApiKey.updated_at)
        )
        values = [{"key_id": one, "at": uses[one].at, "address": uses[one].address} for one in ids]
        if values:
            connection = await self._session.connection()
            await connection.execute(statement, values)
        return ids


def _checked(key: ApiKey, seat: str | None, user: User | None, client: Client | None) -> CheckedKey:
    email = user.email if user else ""
    if key.creator_kind == CreatorKind.MEMBER:
        gone = seat is None or user is None or user.disabled_at is not None
        return CheckedKey(key, gone, None if seat is None else Role(seat), email)
    if key.creator_kind == CreatorKind.PLATFORM:
        gone = user is not None and (user.disabled_at is not None or not user.is_platform_admin)
        return CheckedKey(key, gone, None, email)
    if key.creator_kind == CreatorKind.SERVICE_ACCOUNT:
        gone = client is None or client.disabled_at is not None
        role = Role(client.role) if client and client.role else None
        return CheckedKey(key, gone, role, email, frozenset(client.scopes if client else ()))
    return CheckedKey(key, creator_gone=False, creator_role=None, email=email)
