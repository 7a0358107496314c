"""The humans responsible for a principal: a user, the creator of a service account, or who vouched for either."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from domain.clients import ClientKind
from domain.emails import mailbox
from storage.models import Client, Invitation, Membership, OutsidePerson, User

# Maximum number of steps from creator to creator.
MAX_STEPS = 100
# A person seen all the time is written once per this interval.
SEEN_AGAIN = timedelta(days=1)


@dataclass(frozen=True)
class Humans:
    """Names of the humans behind a principal: subjects, and mailboxes.

    Attributes:
        names: the responsible humans.
        vouched_by: who created their accounts without proof that this is another person.
        gone: all of them are known, and none belongs to the organization any more.
        unknown: those names of another issuer whose human is not known here.
    """

    names: frozenset[str]
    vouched_by: frozenset[str]
    gone: bool
    unknown: frozenset[str] = frozenset()


class HumanRepository:
    """Reads across all tenants: the answer does not depend on the asking tenant."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def behind(self, subject: str, organization_id: UUID) -> Humans:
        """The humans behind a subject of an organization."""
        people = await self._makers(subject)
        users = {name: user for name in people if (user := await self._user(name)) is not None}
        outside = await self._mailboxes(people)
        names = people | {mailbox(user.email) for user in users.values()} | set().union(*outside.values())
        vouched = await self._vouchers(list(users.values())) - names
        left = [await self._has_left(user, organization_id) for user in users.values()]
        gone = bool(left) and all(left) and len(users) == len(people)
        unknown = {name for name in people if is_outside(name) and not outside.get(name)}
        return Humans(frozenset(names), frozenset(vouched), gone=gone, unknown=frozenset(unknown))

    async def remember(self, subject: str, email: str) -> None:
        """Store the mailbox of another issuer's subject, and that it was seen."""
        known = insert(OutsidePerson).values(subject=subject, mailbox=mailbox(email))
        seen = known.on_conflict_do_update(
            index_elements=["subject", "mailbox"],
            set_={"seen_at": func.now()},
            where=OutsidePerson.seen_at < func.now() - SEEN_AGAIN,
        )
        await self._session.execute(seen)

    async def _mailboxes(self, names: Iterable[str]) -> dict[str, set[str]]:
        """The known mailboxes of other issuers' subjects."""
        found: dict[str, set[str]] = {name: set() for name in names if is_outside(name)}
        if found:
            rows = select(OutsidePerson).where(OutsidePerson.subject.in_(sorted(found)))
            for row in await self._session.scalars(rows):
                found[row.subject].add(row.mailbox)
        return found

    async def _makers(self, subject: str) -> set[str]:
        """The humans reached from a subject through service accounts: creators, and everybody who saw a secret."""
        ahead, seen, people = [subject], set[str](), set[str]()
        while ahead and len(seen) < MAX_STEPS:
            name = ahead.pop()
            if name in seen:
                continue
            seen.add(name)
            client = await self._service_account(name)
            if client is None:
                people.add(name)
            else:
                ahead += [client.created_by, client.secret_by or client.created_by, *client.secret_holders]
        return people | set(ahead)

    async def _vouchers(self, users: list[User]) -> set[str]:
        """Everybody who invited a user with a link they could have used themselves, and their inviters, and so on."""
        ahead, seen, found = list(users), set[UUID](), set[str]()
        while ahead and len(seen) < MAX_STEPS:
            user = ahead.pop()
            if user.id in seen:
                continue
            seen.add(user.id)
            for maker in await self._inviters(user):
                found.add(maker)
                inviter = await self._user(maker)
                if inviter is not None:
                    found.add(mailbox(inviter.email))
                    ahead.append(inviter)
        return found

    async def _inviters(self, user: User) -> set[str]:
        """The inviters who may have created the account; none once the user's email is verified.

        An unverified email may have several accounts, each from another invitation.
        """
        if user.email_verified:
            return set()
        accepted = (
            select(Invitation.invited_by)
            .where(Invitation.email == user.email, Invitation.accepted_at.is_not(None))
            .distinct()
            .order_by(Invitation.invited_by)
            .limit(MAX_STEPS)
        )
        found = set[str]()
        for invited_by in await self._session.scalars(accepted):
            makers = await self._makers(invited_by)
            found |= makers | set().union(*(await self._mailboxes(makers)).values())
        return found

    async def _service_account(self, name: str) -> Client | None:
        key = _id(name)
        client = await self._session.get(Client, key) if key else None
        return client if client is not None and client.kind == ClientKind.SERVICE_ACCOUNT else None

    async def _user(self, name: str) -> User | None:
        key = _id(name)
        return await self._session.get(User, key) if key else None

    async def _has_left(self, user: User, organization_id: UUID) -> bool:
        if user.disabled_at is not None:
            return True
        if user.is_platform_admin:
            return False
        seat = select(Membership.id).where(Membership.user_id == user.id, Membership.organization_id == organization_id)
        return await self._session.scalar(seat) is None


# Subjects of other issuers begin with the issuer's name (`runtime.trusted_issuers`); users and clients have ids.
_OUTSIDE = re.compile(r"(?!mailbox:)[a-z0-9][a-z0-9-]{0,31}:")


def is_outside(name: str) -> bool:
    """Whether a name among the humans is a subject of another issuer."""
    return _OUTSIDE.match(name) is not None


def _id(name: str) -> UUID | None:
    try:
        return UUID(name)
    except ValueError:
        return None
