"""The user whom a request speaks for: who that is, and what they change about themselves."""

from dataclasses import dataclass
from typing import Final
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from api.auth.principal import Principal
from api.http.errors import InvalidRequestError
from api.http.preconditions import Condition
from api.schemas.users import MePatch, MeView
from api.services import audited_writes
from api.services.password_attempts import Tries
from api.services.revoke_access import end_logins
from domain.errors import ForbiddenError, NotFoundError
from runtime.passwords import Passwords
from storage.models import User
from storage.repositories.memberships import MembershipRepository
from storage.repositories.organizations import OrganizationRepository
from storage.repositories.users import UserRepository
from storage.tenancy import PLATFORM

_BOTH: Final = frozenset({"password", "current_password"})


class Me:
    """One principal in one transaction. Their own rows are theirs in whichever organization they are."""

    def __init__(self, session: AsyncSession, principal: Principal) -> None:
        self._session = session
        self._principal = principal

    async def view(self) -> MeView:
        """Who it is, their organizations, what their credentials carry."""
        return await self._view(await self._user())

    async def ask(self, body: MePatch, precondition: Condition) -> str | None:
        """Whether this may be changed by them at all; the stored hash of the present password, if it is to change.

        Raises:
            ForbiddenError: it is no user of ours, or an API key: other organizations would see what one's key changed.
            InvalidRequestError: the present password is missing.
        """
        user = await self._changing(precondition, lock=False)
        if not _BOTH & body.model_fields_set:
            return None
        for field in _BOTH - body.model_fields_set:
            raise InvalidRequestError(field, "a new password needs both: password and current_password", code="missing")
        return user.password_hash or ""

    async def change(self, body: MePatch, precondition: Condition, new: "NewPassword | None") -> MeView:
        """Change name or password. A new password revokes all tokens and sessions of the user.

        Raises:
            ForbiddenError: as for `ask`.
            InvalidRequestError: the password was changed since it was looked at.
        """
        user = await self._changing(precondition, lock=True)
        values = {"name": body.name} if "name" in body.model_fields_set else {}
        if new is not None:
            if (user.password_hash or "") != new.before:
                raise _wrong()
            values["password_hash"] = new.after
            await end_logins(self._session, user.id)
        await audited_writes.change(self._session, user, values)
        return await self._view(user)

    async def _changing(self, precondition: Condition, *, lock: bool) -> User:
        if self._principal.is_key:
            raise ForbiddenError("an API key does not change whoever made it; use an access token")
        user = await self._user(lock=lock)
        if user is None:
            raise ForbiddenError("only users can change themselves here; these credentials are not those of one")
        precondition.check(await self._view(user))
        return user

    async def _view(self, user: User | None) -> MeView:
        memberships = [] if user is None else await MembershipRepository(self._session, PLATFORM).of_user(user.id)
        if self._principal.is_key:  # it is handed to others of its organization, whom other memberships do not concern
            memberships = [one for one in memberships if one.organization_id == self._principal.organization_id]
        ids = [membership.organization_id for membership in memberships]
        organizations = await OrganizationRepository(self._session, PLATFORM).several(ids) if ids else []
        by_id = {organization.id: organization for organization in organizations}
        return MeView.of(self._principal, user, [(one, by_id[one.organization_id]) for one in memberships])

    async def _user(self, *, lock: bool = False) -> User | None:
        """None: a service account, or a person of another issuer."""
        try:
            return await UserRepository(self._session, PLATFORM).get(UUID(self._principal.subject), lock=lock)
        except (ValueError, NotFoundError):
            return None


@dataclass(frozen=True)
class NewPassword:
    """What is stored from now on, and what was stored when the present password was looked at."""

    before: str
    after: str


async def new_password(stored: str, body: MePatch, passwords: Passwords, tries: Tries) -> NewPassword:
    """Check the present password and hash the new one, which takes a while: hold no connection meanwhile.

    Raises:
        InvalidRequestError: the present password is another one.
        TooOftenError: it was guessed too often from there.
    """
    await tries.count()
    if not await passwords.verify(stored or None, body.current_password.get_secret_value()):
        raise _wrong()
    await tries.forget()
    return NewPassword(stored, await passwords.hash(body.password.get_secret_value()))


def _wrong() -> InvalidRequestError:
    return InvalidRequestError("current_password", "is not your present password", code="password_wrong")
