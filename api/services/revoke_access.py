"""Revocation: which tokens, grants, sessions and API keys end together with a user, client or membership.

Issuing a token locks its client, its grant and the holder's membership, in this order, until the token is written.
Revocation takes the same locks in the same order and reads the clock last. So a token of the same moment is either
issued before, and revoked, or not issued at all.
"""

from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from api.services import api_keys, audited_writes
from domain.permissions import Role
from runtime.ids import new_id, now
from runtime.logging import get_logger
from runtime.tokens import MAX_TTL
from storage.models import Client, User
from storage.repositories.api_keys import ApiKeyRepository, notify
from storage.repositories.grants import GrantRepository
from storage.repositories.logins import LoginRepository
from storage.repositories.memberships import MembershipRepository
from storage.repositories.revocations import RevocationRepository
from storage.tenancy import PLATFORM

log = get_logger(__name__)

NOT_THEIRS = "the address was shown to be somebody else's"


async def end_tokens(session: AsyncSession, subject: str, organization_id: UUID | None) -> None:
    """Revoke, from the commit on, all tokens issued to a subject so far (None: in every organization).

    Cached API keys of the subject are read again: their permissions may have changed.
    """
    at = now()
    revocations = RevocationRepository(session)
    await revocations.revoke_subject(new_id(), subject, organization_id, at=at, until=at + MAX_TTL)
    await notify(session)


async def end_client_tokens(session: AsyncSession, client_id: UUID) -> None:
    """Revoke, from the commit on, all tokens issued through a client so far, for whatever subject."""
    at = now()
    await RevocationRepository(session).revoke_client(new_id(), str(client_id), at=at, until=at + MAX_TTL)


async def end_logins(session: AsyncSession, user_id: UUID) -> None:
    """End all sessions and grants of a user (locked), after a new password or when disabled. API keys stay."""
    await GrantRepository(session).revoke_of_user(user_id, None, now())
    await LoginRepository(session).end_of(user_id)
    await end_tokens(session, str(user_id), None)


async def end_claim(session: AsyncSession, user: User) -> None:
    """Disable a user, whose row is locked, because the address was proven to be another person's.

    All their sessions, tokens and keys end, and they cannot log in. Operators can enable them (`api.cli.accounts`). An
    organization that is left without an admin is logged: platform admins invite another one.
    """
    await end_logins(session, user.id)
    members = MembershipRepository(session, PLATFORM)
    for seat in await members.of_user(user.id):
        organization_id = seat.organization_id
        if seat.role == Role.ADMIN and not await members.other_admins(seat):
            log.warning("organization.without_admin", organization_id=str(organization_id))
        await audited_writes.remove(session, seat, reason=NOT_THEIRS)
        await end_membership(session, user.id, organization_id)
    for key in await ApiKeyRepository(session, PLATFORM).made_anywhere_by(user.id, at=now()):
        await api_keys.revoke(session, key)
    if user.disabled_at is None:
        await audited_writes.change(session, user, {"disabled_at": now()}, action="disabled", reason=NOT_THEIRS)


async def end_grants(session: AsyncSession, user_id: UUID, organization_id: UUID) -> None:
    """End a user's grants in an organization. Call it before their membership is locked."""
    await GrantRepository(session).revoke_of_user(user_id, organization_id, now())


async def end_membership(session: AsyncSession, user_id: UUID, organization_id: UUID) -> None:
    """After a member was removed: end their tokens and keys of the organization, for good."""
    await _end_keys(session, organization_id, user_id)
    await end_tokens(session, str(user_id), organization_id)


async def end_client(session: AsyncSession, client: Client) -> None:
    """After a client was disabled (its row is locked): revoke everything issued to it."""
    await GrantRepository(session).revoke_of_client(client.id, now())
    if client.organization_id is not None:
        await _end_keys(session, client.organization_id, client.id)
    await end_client_tokens(session, client.id)
    await end_tokens(session, str(client.id), client.organization_id)


async def _end_keys(session: AsyncSession, organization_id: UUID, creator_id: UUID) -> None:
    for key in await ApiKeyRepository(session, PLATFORM).made_by(organization_id, creator_id, at=now()):
        await api_keys.revoke(session, key)
