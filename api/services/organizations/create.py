"""Creating an organization: the creator becomes its admin, and may create a limited number."""

from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from api.auth.principal import Principal
from api.schemas.organizations import OrganizationCreate
from api.services import audited_writes
from api.services.organizations.status import require_active
from api.services.projects.host_labels import unique_suffix
from domain.errors import ErrorCode, ForbiddenError
from domain.organizations import OrganizationStatus
from domain.permissions import MemberRole
from runtime.ids import new_id
from runtime.settings import Settings
from storage.models import Membership, Organization, User
from storage.repositories.organizations import OrganizationRepository
from storage.tenancy import PLATFORM

MACHINE = "client:"


async def found_organization(
    session: AsyncSession, settings: Settings, principal: Principal, body: OrganizationCreate
) -> Organization:
    """A new organization with its first admin. Platform admins are above all of them, and no member.

    Raises:
        ForbiddenError: whoever asks could not administer it, or QUOTA_EXCEEDED.
        ConflictError: DUPLICATE_SLUG.
    """
    organizations = OrganizationRepository(session, PLATFORM)
    founder = None
    if not principal.is_platform_admin:
        await require_active(session, principal.organization_id)
        founder = await _founder(session, settings, principal)
        await _check_quota(organizations, settings, principal)
    values = {
        "id": new_id(),
        "status": OrganizationStatus.ACTIVE,
        "created_by": principal.subject,
        **body.model_dump(),
    }
    row = await organizations.create(values, unique_suffix)
    await audited_writes.added(session, row)
    if founder is not None:
        seat = Membership(id=new_id(), organization_id=row.id, user_id=founder.id, role=MemberRole.ADMIN)
        await audited_writes.add(session, seat, reason="made the organization")
    return row


async def _founder(session: AsyncSession, settings: Settings, principal: Principal) -> User | None:
    """The user behind a principal; None: a development token's, whose organizations are what the token says."""
    user = await session.get(User, _user_id(principal.subject))
    if user is not None:
        return user
    theirs = any(principal.subject.startswith(f"{issuer.name}:") for issuer in settings.trusted_issuers)
    if theirs or principal.credential.startswith(MACHINE) or principal.is_key:
        raise ForbiddenError(
            "organizations are made by people who have an account here, since they administer them: log in as one, or "
            "ask a platform admin"
        )
    return None


def _user_id(subject: str) -> UUID:
    try:
        return UUID(subject)
    except ValueError:
        return UUID(int=0)


async def _check_quota(organizations: OrganizationRepository, settings: Settings, principal: Principal) -> None:
    most = settings.organizations_per_user
    if await organizations.made_by(principal.subject) >= most:
        raise ForbiddenError(
            f"you made {most} organizations, which is the most; ask a platform admin for another one",
            code=ErrorCode.QUOTA_EXCEEDED,
            details={"quota": "organizations_per_user", "limit": most},
        )
