"""Accepting an invitation: its token grants the membership, to a new user or to a known one with the password."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from sqlalchemy.ext.asyncio import AsyncSession

from api.auth import actor
from api.dependencies import AppState
from api.http.errors import InvalidRequestError, UnauthenticatedError
from api.schemas.invitations import InvitationAccept
from api.schemas.members import MemberView
from api.services import audited_writes
from api.services.members import check_seat
from api.services.revoke_access import end_claim
from domain.errors import NotFoundError
from domain.invitations import InvitationStatus
from runtime.credentials import digest
from runtime.ids import new_id
from runtime.passwords import check_password
from storage.engine import transaction
from storage.models import Invitation, Membership, Organization, User
from storage.repositories.invitations import InvitationRepository, status_of
from storage.repositories.memberships import MembershipRepository
from storage.repositories.organizations import OrganizationRepository
from storage.repositories.users import UserRepository
from storage.tenancy import PLATFORM

# The inviter may have the token, too, and must not try passwords of a user of another organization with it.
MAX_TRIES: Final = 5
_USABLE = (InvitationStatus.OPEN, InvitationStatus.ACCEPTED)


class Joining:
    """One acceptance: first `look`, which hashes the password and holds no connection, then `join`."""

    def __init__(self, parts: AppState, body: InvitationAccept, at: datetime) -> None:
        self._parts = parts
        self._body = body
        self._at = at
        self._is_mine: dict[str, bool] = {}  # by stored hash: whether the given password matches
        self._new_hash: str | None = None

    async def look(self) -> None:
        """Check the password against the users of this address, or hash that of a new user.

        Raises:
            NotFoundError: no such token, or one that is revoked, expired, used by another one, or tried too often.
            UnauthenticatedError: no user of this address has this password, and no name for a new user was given, or
                the address belongs to a user.
            InvalidRequestError: a name, with a password that cannot be set.
        """
        async with transaction(self._parts.sessions) as session:
            seen = await self._invitation(session)
            found = await UserRepository(session, PLATFORM).claimants(seen.email)
        if self._body.name is not None:
            self._check_password()
        # The inviter may have the link, too, and must not learn from it who has an account: without a name the answer,
        # its time and the number of tries are the same whether the address has a user or not.
        if found or self._body.name is None:
            await self._count_try(seen)
            if await self._of_password(found) is not None:
                return
            self._check_new(seen, found)
        self._new_hash = await self._parts.passwords.hash(self._body.password.get_secret_value())

    async def join(self, session: AsyncSession) -> MemberView:
        """Accept the invitation. Idempotent for the same password.

        Raises:
            NotFoundError, UnauthenticatedError, InvalidRequestError: as for `look`; it may have changed meanwhile.
            ForbiddenError: QUOTA_EXCEEDED.
        """
        members = MembershipRepository(session, PLATFORM)
        organization_id = (await self._invitation(session)).organization_id
        organization = await OrganizationRepository(session, PLATFORM).get(organization_id, lock=True)
        invitation = await self._invitation(session, lock=True)
        user = await self._user_of(session, invitation)
        membership = await members.of(user.id, organization.id)
        if membership is None:
            membership = await self._take(session, invitation, organization, user)
        if invitation.proves:
            await self._prove(session, user)
        await InvitationRepository(session, PLATFORM).forget_tries(invitation.id)
        if invitation.accepted_at is None:
            await audited_writes.change(session, invitation, {"accepted_at": self._at}, action="accepted")
        return MemberView.of(membership, user)

    async def _invitation(self, session: AsyncSession, *, lock: bool = False) -> Invitation:
        token = digest(self._body.token.get_secret_value())
        found = await InvitationRepository(session, PLATFORM).by_token(token, lock=lock)
        if found is None or status_of(found, self._at) not in _USABLE or found.expires_at <= self._at:
            raise _gone()
        return found

    async def _count_try(self, invitation: Invitation) -> None:
        """Count in a transaction of its own, before the password is checked: parallel tries are limited, too."""
        async with transaction(self._parts.sessions) as session:
            if not await InvitationRepository(session, PLATFORM).count_try(invitation.id, MAX_TRIES):
                raise _gone()

    def _check_new(self, invitation: Invitation, found: Sequence[User]) -> None:
        """Whether a new user may be created beside users with the same address and other passwords."""
        if self._body.name is not None and found and found[0].email_verified:
            raise UnauthenticatedError(
                f"{invitation.email} belongs to an account here, and its owner has shown that it is theirs: accept "
                "with that account's password",
                token_was_given=False,
            )
        if self._body.name is None or invitation.accepted_at is not None:
            raise UnauthenticatedError(
                f"this is not the password of an account of {invitation.email}; whoever has none here gives a name as "
                "well, and chooses a password",
                token_was_given=False,
            )

    async def _of_password(self, users: Sequence[User]) -> User | None:
        """The user whose password was given. Each hash is checked once; `join` reuses what `look` found."""
        given = self._body.password.get_secret_value()
        if not users:
            await self._parts.passwords.verify(None, given)
        for user in users:
            stored = user.password_hash if user.disabled_at is None else None
            if str(stored) not in self._is_mine:
                self._is_mine[str(stored)] = await self._parts.passwords.verify(stored, given)
            if self._is_mine[str(stored)]:
                return user
        return None

    async def _prove(self, session: AsyncSession, user: User) -> None:
        """Mark the mailbox as proven. Other users who claimed the address lose their access."""
        if user.email_verified:
            return
        users = UserRepository(session, PLATFORM)
        for other in await users.others(user.email):
            if other.id != user.id:
                await end_claim(session, await users.get(other.id, lock=True))
        await audited_writes.change(session, user, {"email_verified_at": self._at}, action="email_verified")

    def _check_password(self) -> None:
        try:
            check_password(self._body.password.get_secret_value())
        except ValueError as error:
            raise InvalidRequestError("password", str(error), code="password_invalid") from error

    async def _user_of(self, session: AsyncSession, invitation: Invitation) -> User:
        """The user with this address and password, else a new one. A second click may have created the user already."""
        email, users = invitation.email, UserRepository(session, PLATFORM)
        await users.hold_email(email)
        found = await users.claimants(email)
        if found:
            user = await self._of_password(found)
            if user is not None:
                _act_as(user, invitation)
                return user
            self._check_new(invitation, found)
        if self._new_hash is None or invitation.accepted_at is not None or await users.by_email(email):
            raise _gone()
        user = User(id=new_id(), email=email, name=self._body.name or "", password_hash=self._new_hash)
        _act_as(user, invitation)
        await audited_writes.add(session, user)
        return user

    async def _take(
        self, session: AsyncSession, invitation: Invitation, organization: Organization, user: User
    ) -> Membership:
        """Create the membership once for each token, so that a removed member cannot use the token again."""
        if invitation.accepted_at is not None:
            raise _gone()
        await check_seat(MembershipRepository(session, PLATFORM), organization, 0)
        membership = Membership(id=new_id(), organization_id=organization.id, user_id=user.id, role=invitation.role)
        await audited_writes.add(session, membership)
        return membership


def _act_as(user: User, invitation: Invitation) -> None:
    """Make the user the actor of the audit entries that follow."""
    actor.act_as(str(user.id), f"invitation:{invitation.id}")


def _gone() -> NotFoundError:
    return NotFoundError(
        "this invitation does not exist, or is used, revoked, expired or tried too often; ask for a new one"
    )
