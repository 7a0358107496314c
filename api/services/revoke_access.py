"""Revocation: which tokens, grants, sessions and API keys end together with a user, client or membership.

Whoever issues a token holds its client, its grant and the holder's membership, in this order, until the token is
written. What is here takes them in the same order and looks at the clock last: a token of the same moment is either
issued before that, and refused, or not issued at all.
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
    """Refuse, from the commit on, the tokens that a subject was issued until now (None: in whichever organization).

    Their API keys are looked up anew: they may do less by now.
    """
    at = now()
    revocations = RevocationRepository(session)
    await revocations.revoke_subject(new_id(), subject, organization_id, at=at, until=at + MAX_TTL)
    await notify(session)


async def end_client_tokens(session: AsyncSession, client_id: UUID) -> None:
    """Refuse, from the commit on, the tokens that were issued through a client until now, whomever they speak for."""
    at = now()
    await RevocationRepository(session).revoke_client(new_id(), str(client_id), at=at, until=at + MAX_TTL)


async def end_logins(session: AsyncSession, user_id: UUID) -> None:
    """A user, locked, has to log in again everywhere: another password, or disabled. API keys stay.

    Every browser is logged out, and whatever an application was allowed is over.
    """
    await GrantRepository(session).revoke_of_user(user_id, None, now())
    await LoginRepository(session).end_of(user_id)
    await end_tokens(session, str(user_id), None)


async def end_claim(session: AsyncSession, user: User) -> None:
    """A locked user claimed an address that was shown to be somebody else's: an account that nobody meant.

    They are out everywhere, with their keys, and cannot log in; operators can enable them again (`api.cli.accounts`).
    An organization that has no admin any more is told of in the log: platform admins invite another one.
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
    """What a user allowed applications to do in an organization is over; before their membership is locked."""
    await GrantRepository(session).revoke_of_user(user_id, organization_id, now())


async def end_membership(session: AsyncSession, user_id: UUID, organization_id: UUID) -> None:
    """After a member is gone: their tokens and keys of the organization are too, also if they come back one day."""
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
