"""Checks that enough people can approve: a rule that cannot be met would block an environment."""

from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from api.services.humans import person_of_user
from domain.approvals import ApprovalPolicy, Person, same_human
from domain.environment_settings import EnvironmentSettings, protection_of
from domain.errors import UnprocessableError
from domain.permissions import Role, Scope, permissions_of
from runtime.settings import Settings
from storage.repositories.memberships import MembershipRepository
from storage.tenancy import PLATFORM

# At most so many are counted: a rule asks for at most ten approvals.
MOST = 100
_MAY_APPROVE = tuple(role for role in Role if Scope.DEPLOYMENTS_APPROVE in permissions_of(role))


async def can_be_met(
    session: AsyncSession,
    settings: Settings,
    organization_id: UUID,
    before: EnvironmentSettings,
    after: EnvironmentSettings,
) -> bool:
    """Whether the people of the organization can give the approvals that a change asks for.

    Returns:
        False: not known here, since another issuer decides who belongs to the organization.

    Raises:
        UnprocessableError: it cannot; the message says how many people there are.
    """
    rule, old = protection_of(after), protection_of(before)
    if rule is None or rule.min_approvals == 1 or (old is not None and _people(rule) <= _people(old)):
        return True
    known = await _different(session, organization_id, _people(rule))
    if known >= _people(rule):
        return True
    if any(issuer.may_speak_for(organization_id) for issuer in settings.trusted_issuers):
        return False
    most = max(1, known - rule.four_eyes)
    beside = ", and whoever asks does not count (four_eyes)" if rule.four_eyes else ""
    raise UnprocessableError(
        f"{rule.min_approvals} people would have to approve, but {known} different people of this organization may"
        f"{beside}; ask for at most {most}, or make more members release managers first (whoever was invited by a link "
        "that the inviter saw, and has not shown an e-mail address to be theirs, counts as one with the inviter)",
        details={"field": "approval.min_approvals", "people": known, "most": most},
    )


def _people(rule: ApprovalPolicy) -> int:
    """How many people are needed so that each of them finds enough others as approvers."""
    return rule.min_approvals + rule.four_eyes


async def _different(session: AsyncSession, organization_id: UUID, enough: int) -> int:
    """How many different humans may approve, as far as needed.

    The newest accounts come first: of a person and those whom they invited by a link, the invited are counted.
    """
    found: list[Person] = []
    for user in await MembershipRepository(session, PLATFORM).users(organization_id, _MAY_APPROVE, limit=MOST):
        person = await person_of_user(session, user, organization_id)
        if not any(same_human(person, one) for one in found):
            found.append(person)
        if len(found) >= enough:
            break
    return len(found)
