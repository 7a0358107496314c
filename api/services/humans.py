"""The humans behind a principal: the creator and secret holders of a service account, the creator of a key."""

from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from api.auth.principal import Principal
from domain.approvals import UNKNOWN_HUMAN, Person
from domain.emails import mailbox
from domain.errors import ForbiddenError
from storage.models import User
from storage.repositories.humans import HumanRepository, Humans, is_outside


async def person_of(session: AsyncSession, principal: Principal, organization_id: UUID) -> Person:
    """The person behind a principal, for counting different people."""
    return _person(principal, await HumanRepository(session).behind(principal.subject, organization_id))


async def person_of_user(session: AsyncSession, user: User, organization_id: UUID) -> Person:
    """The person behind a user, independent of credentials."""
    behind = await HumanRepository(session).behind(str(user.id), organization_id)
    humans, vouched = tuple(sorted(behind.names)), tuple(sorted(behind.vouched_by))
    return Person(actor=str(user.id), humans=humans, vouched_by=vouched)


async def approver_of(session: AsyncSession, principal: Principal, organization_id: UUID) -> Person:
    """The person who approves. The rule in force says whether an unknown person may.

    Raises:
        ForbiddenError: no person is responsible for it: a client of an external issuer, or one whose owners have left.
    """
    if principal.is_foreign_machine:
        raise ForbiddenError(
            "this token is a machine's of another issuer, and nobody here knows who answers for it; approve as a person"
        )
    behind = await HumanRepository(session).behind(principal.subject, organization_id)
    if any(name.startswith(UNKNOWN_HUMAN) for name in behind.names):
        raise ForbiddenError(
            f"a machine of another issuer was shown a secret of {principal.subject}, and nobody here knows who answers "
            "for that; approve as a person, or with a service account that a person made"
        )
    if behind.gone:
        raise ForbiddenError(
            f"whoever answered for {principal.subject} has left the organization; have its secret rotated by somebody "
            "who takes it over, or approve as a person"
        )
    return _person(principal, behind)


async def remember(session: AsyncSession, principal: Principal) -> None:
    """Record the human of another issuer before they create credentials that act for them later.

    A client has no human, whatever address is in its token.
    """
    if is_outside(principal.subject) and principal.email and not principal.is_foreign_machine:
        await HumanRepository(session).remember(principal.subject, principal.email)


def _person(principal: Principal, behind: Humans) -> Person:
    own = {mailbox(principal.email)} if principal.email and not principal.is_foreign_machine else set[str]()
    known = {principal.subject} if own else set[str]()
    return Person(
        actor=principal.subject,
        humans=tuple(sorted(behind.names | own)),
        vouched_by=tuple(sorted(behind.vouched_by - own)),
        unknown=principal.is_foreign_machine or bool(behind.unknown - known),
    )
