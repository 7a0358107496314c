"""Suspended or inactive organizations may read, change and delete resources, but create none.

Nor does what is under way go on by a decision of theirs; it can be held, ended and taken back.
"""

from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from domain.errors import ErrorCode, ForbiddenError
from domain.organizations import OrganizationStatus
from storage.models import Base, Organization

_CREATED = "nothing is created in it", "what there is can be read and deleted"
_GOES_ON = "no deployment goes on in it", "one under way can be paused, rejected, aborted and rolled back"


def refuse_inactive(organization: Organization, refused: tuple[str, str] = _CREATED) -> None:
    """Raise `ForbiddenError(ORGANIZATION_NOT_ACTIVE)` for one that is not active."""
    what, still = refused
    if organization.status != OrganizationStatus.ACTIVE:
        raise ForbiddenError(
            f"the organization is {organization.status}: {what} until the platform's admin makes it active again; "
            f"{still}",
            code=ErrorCode.ORGANIZATION_NOT_ACTIVE,
            details={"state": organization.status, "organization_id": str(organization.id)},
        )


async def require_active(session: AsyncSession, organization_id: UUID | None) -> None:
    """As `refuse_inactive`, for whatever belongs to an organization; None: to the platform."""
    found = None if organization_id is None else await session.get(Organization, organization_id)
    if found is not None:
        refuse_inactive(found)


async def require_going_on(session: AsyncSession, organization_id: UUID) -> None:
    """Raise `ForbiddenError(ORGANIZATION_NOT_ACTIVE)` for a suspended or inactive organization."""
    found = await session.get(Organization, organization_id)
    if found is not None:
        refuse_inactive(found, _GOES_ON)


async def refuse_addition(session: AsyncSession, row: Base) -> None:
    """Every row that a request adds is asked about: a new kind of resource cannot forget to."""
    if not isinstance(row, Organization):
        await require_active(session, getattr(row, "organization_id", None))
