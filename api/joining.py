"""Accepting an invitation: whoever has its token takes the seat, as a new user or with a known one's password."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from sqlalchemy.ext.asyncio import AsyncSession

from api import actors, changes
from api.ending import end_claim
from api.errors import InvalidRequestError, UnauthenticatedError
from api.members import check_seat
from api.parts import Parts
from api.schemas.invitations import InvitationAccept
from api.schemas.members import MemberView
from domain.errors import NotFoundError
from runtime.credentials import digest
from runtime.ids import new_id
from runtime.passwords import check_password
from storage.engine import transaction
from storage.models import Invitation, Membership, Organization, User
from storage.repositories.invitations import InvitationRepository, InvitationStatus, status_of
from storage.repositories.memberships import MembershipRepository
from storage.repositories.organizations import OrganizationRepository
from storage.repositories.users import UserRepository
from storage.tenancy import PLATFORM

# Whoever invites has the token too: they shall not try the passwords of somebody who has a user elsewhere.
MAX_TRIES: Final = 5
_USABLE = (InvitationStatus.OPEN, InvitationStatus.ACCEPTED)


class Joining:
    """One acceptance, in one transaction. The password is hashed or checked before anything is held."""

    def __init__(self, parts: Parts, session: AsyncSession, body: InvitationAccept, at: datetime) -> None:
        self._parts = parts
        self._session = session
        self._body = body
        self._at = at
        self._invitations = InvitationRepository(session, PLATFORM)
        self._members = MembershipRepository(session, PLATFORM)
        self._users = UserRepository(session, PLATFORM)

    async def join(self) -> MemberView:
        """Take the seat. Doing so once more with the same password changes nothing, and is answered the same.

        Raises:
            NotFoundError: no such token, or one that is revoked, expired, used by another one, or tried too often.
            UnauthenticatedError: nobody of this address has this password, and no name was given to be somebody new by,
                or the address is somebody's.
            InvalidRequestError: a name, with a password that cannot be set.
            ForbiddenError: QUOTA_EXCEEDED.
        """
        seen = await self._invitation()
        if self._body.name is not None:
            self._check_password()
        user, password_hash = await self._known(seen), ""
        if user is None:
            password_hash = await self._parts.passwords.hash(self._body.password.get_secret_value())
        else:
            _act_as(user, seen)
        organization = await OrganizationRepository(self._session, PLATFORM).get(seen.organization_id, lock=True)
        invitation = await self._invitation(lock=True)
        if user is None:
            user = await self._user_of(invitation, password_hash)
        membership = await self._members.of(user.id, organization.id)
        if membership is None:
            membership = await self._take(invitation, organization, user)
        if invitation.proves:
            await self._prove(user)
        await self._invitations.forget_tries(invitation.id)
        if invitation.accepted_at is None:
            await changes.change(self._session, invitation, {"accepted_at": self._at}, action="accepted")
        return MemberView.of(membership, user)

    async def _invitation(self, *, lock: bool = False) -> Invitation:
        found = await self._invitations.by_token(digest(self._body.token.get_secret_value()), lock=lock)
        if found is None or status_of(found, self._at) not in _USABLE or found.expires_at <= self._at:
            raise _gone()
        return found

    async def _count_try(self, invitation: Invitation) -> None:
        """In a transaction of its own, before the password is looked at: however many try at once, few are heard."""
        async with transaction(self._parts.sessions) as apart:
            if not await InvitationRepository(apart, PLATFORM).count_try(invitation.id, MAX_TRIES):
                raise _gone()

    async def _known(self, invitation: Invitation) -> User | None:
        """Who of this address has this password; None: nobody, and somebody new may come.

        Whoever invites may have the link, too, and shall not learn by it who has an account: without a name the answer,
        its time and the number of tries are the same whether somebody has this address or nobody.
        """
        found = await self._users.claimants(invitation.email)
        if not found and self._body.name is not None:
            return None
        await self._count_try(invitation)
        if user := await self._of_password(found):
            return user
        if self._body.name is None or invitation.accepted_at is not None or found[0].email_verified:
            raise UnauthenticatedError(
                f"this is not the password of an account of {invitation.email}; whoever has none here gives a name as "
                "well, and chooses a password",
                token_was_given=False,
            )
        return None

    async def _of_password(self, users: Sequence[User]) -> User | None:
        given = self._body.password.get_secret_value()
        if not users:
            await self._parts.passwords.verify(None, given)
        for user in users:
            stored = user.password_hash if user.disabled_at is None else None
            if await self._parts.passwords.verify(stored, given):
                return user
        return None

    async def _prove(self, user: User) -> None:
        """The mailbox is theirs: whoever else claimed the address was not whom the organizations meant, and is out."""
        if user.email_verified:
            return
        for other in await self._users.others(user.email):
            if other.id != user.id:
                await end_claim(self._session, await self._users.get(other.id, lock=True))
        await changes.change(self._session, user, {"email_verified_at": self._at}, action="email_verified")

    def _check_password(self) -> None:
        try:
            check_password(self._body.password.get_secret_value())
        except ValueError as error:
            raise InvalidRequestError("password", str(error), code="password_invalid") from error

    async def _user_of(self, invitation: Invitation, password_hash: str) -> User:
        """A new user, unless the same person did this with another click meanwhile."""
        email = invitation.email
        await self._users.hold_email(email)
        user = await self._of_password(await self._users.claimants(email))
        if user is not None:
            _act_as(user, invitation)
            return user
        if invitation.accepted_at is not None or await self._users.by_email(email):
            raise _gone()
        user = User(id=new_id(), email=email, name=self._body.name or "", password_hash=password_hash)
        _act_as(user, invitation)
        await changes.add(self._session, user)
        return user

    async def _take(self, invitation: Invitation, organization: Organization, user: User) -> Membership:
        """The seat: once for a token, so that whoever was removed does not come back with theirs."""
        if invitation.accepted_at is not None:
            raise _gone()
        await check_seat(self._members, organization, 0)
        membership = Membership(id=new_id(), organization_id=organization.id, user_id=user.id, role=invitation.role)
        await changes.add(self._session, membership)
        return membership


def _act_as(user: User, invitation: Invitation) -> None:
    """What follows is the user's own doing, as far as the audit log is concerned."""
    actors.act_as(str(user.id), f"invitation:{invitation.id}")


def _gone() -> NotFoundError:
    return NotFoundError(
        "this invitation does not exist, or is used, revoked, expired or tried too often; ask for a new one"
    )
