"""The rules of making, rotating and revoking API keys."""

import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from api.auth.principal import Principal
from api.schemas.api_keys import ApiKeyView, IssuedApiKeyView
from api.services import audited_writes
from api.services.humans import remember
from domain.api_keys import ALPHABET, SECRET_LENGTH, CreatorKind, KeyStatus, build_key, hash_key, role_cap, shown_prefix
from domain.errors import ConflictError, ErrorCode, ForbiddenError, UnprocessableError
from domain.permissions import Scope
from runtime.ids import new_id, now
from storage.models import ApiKey
from storage.repositories.api_keys import ApiKeyRepository, notify, status_of
from storage.repositories.organizations import OrganizationRepository

MAX_LIFETIME = timedelta(days=365)


@dataclass(frozen=True)
class Wanted:
    """A request for a new key."""

    name: str
    scopes: Iterable[Scope]
    expires_at: datetime | None
    requests_per_minute: int | None
    replaces: UUID | None = None


async def check_room(session: AsyncSession, principal: Principal, organization_id: UUID, most: int) -> None:
    """Whether an organization may have one key more; it is locked until the transaction ends.

    Raises:
        ForbiddenError: QUOTA_EXCEEDED.
    """
    await OrganizationRepository(session, principal.tenant).get(organization_id, lock=True)
    if await ApiKeyRepository(session, principal.tenant).working(organization_id, at=now()) >= most:
        raise ForbiddenError(
            f"an organization has at most {most} API keys that work; revoke one first",
            code=ErrorCode.QUOTA_EXCEEDED,
            details={"quota": "api_keys_per_organization", "limit": most},
        )


async def issue(session: AsyncSession, principal: Principal, organization_id: UUID, wanted: Wanted) -> IssuedApiKeyView:
    """Create a key that acts for its creator; keys cannot be made for another principal.

    Raises:
        ForbiddenError: it could do what the caller cannot, or they have no place in the organization any more.
        UnprocessableError: it would have expired already, or would live too long.
    """
    scopes = sorted(wanted.scopes)
    _check_scopes(principal, scopes)
    kind, creator_id = await _creator(session, principal, organization_id)
    secret = build_key("".join(secrets.choice(ALPHABET) for _ in range(SECRET_LENGTH)))
    row = ApiKey(
        id=new_id(),
        organization_id=organization_id,
        name=wanted.name,
        key_hash=hash_key(secret),
        prefix=shown_prefix(secret),
        scopes=[str(scope) for scope in scopes],
        role=role_cap(principal.role),
        created_by=principal.subject,
        creator_kind=kind,
        creator_id=creator_id,
        requests_per_minute=wanted.requests_per_minute,
        expires_at=_checked_expiry(wanted.expires_at),
        replaces=wanted.replaces,
    )
    await remember(session, principal)
    await audited_writes.add(session, row)
    return IssuedApiKeyView(key=secret, **view_of(row).model_dump())


async def rotate(
    session: AsyncSession, principal: Principal, old: ApiKey, *, overlap: timedelta, expires_at: datetime | None
) -> IssuedApiKeyView:
    """Make a key in place of a locked one, which works on until the overlap ends.

    Raises:
        ConflictError: INVALID_STATE, it does not work any more or was rotated before.
        ForbiddenError: it can do what the caller cannot.
    """
    at = now()
    status = status_of(old, at)
    if status is not KeyStatus.ACTIVE or old.overlap_ends_at is not None:
        state = "was rotated already" if status is KeyStatus.ACTIVE else f"is {status}"
        raise ConflictError(f"the API key {state}; only an active one can be rotated", code=ErrorCode.INVALID_STATE)
    lifetime = old.expires_at - old.created_at
    wanted = Wanted(
        name=old.name,
        scopes=[Scope(scope) for scope in old.scopes],
        expires_at=expires_at or at + min(lifetime, MAX_LIFETIME),
        requests_per_minute=old.requests_per_minute,
        replaces=old.id,
    )
    issued = await issue(session, principal, old.organization_id, wanted)
    await audited_writes.change(session, old, {"overlap_ends_at": at + overlap}, action="rotated")
    await notify(session)
    return issued


async def revoke(session: AsyncSession, key: ApiKey) -> None:
    """End a locked key now, in every process; once is enough, twice does no harm."""
    if key.revoked_at is None:
        await audited_writes.change(session, key, {"revoked_at": now()}, action="revoked")
    await notify(session)


def view_of(key: ApiKey) -> ApiKeyView:
    """A key as it is answered."""
    columns = {name: getattr(key, name) for name in ApiKeyView.model_fields if name != "status"}
    return ApiKeyView(status=status_of(key, now()), **columns)


async def _creator(
    session: AsyncSession, principal: Principal, organization_id: UUID
) -> tuple[CreatorKind, UUID | None]:
    if principal.is_foreign_machine:
        return CreatorKind.EXTERNAL_MACHINE, None
    try:
        creator_id = UUID(principal.subject)
    except ValueError:
        return CreatorKind.EXTERNAL, None
    if principal.is_platform_admin:
        return CreatorKind.PLATFORM, creator_id
    kind = await ApiKeyRepository(session, principal.tenant).creator_kind(organization_id, creator_id)
    if kind is None:  # with a token of a moment ago; a key of nobody's would never end
        raise ForbiddenError("you are no member of this organization any more")
    return kind, creator_id


def _check_scopes(principal: Principal, scopes: list[Scope]) -> None:
    missing = [str(scope) for scope in scopes if not principal.may(scope)]
    if missing:
        raise ForbiddenError(
            f"a key can do what you can, but you lack {', '.join(missing)}", details={"missing_permission": missing}
        )


def _checked_expiry(wanted: datetime | None) -> datetime:
    at = now()
    latest = at + MAX_LIFETIME
    if wanted is None:
        return latest
    if not at < wanted <= latest:
        raise UnprocessableError(
            f"expires_at must lie in the future, and at most {MAX_LIFETIME.days} days ahead",
            details={"field": "expires_at", "latest": latest.isoformat()},
        )
    return wanted
