"""Organizations that are suspended or inactive: what they have can be read, changed and deleted; nothing is added."""

from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from api.schemas.organizations import OrganizationStatus
from domain.errors import ErrorCode, ForbiddenError
from storage.models import Base, Organization


def refuse_inactive(organization: Organization) -> None:
    """Raise `ForbiddenError(ORGANIZATION_NOT_ACTIVE)` for one that is not active."""
    if organization.status != OrganizationStatus.ACTIVE:
        raise ForbiddenError(
            f"the organization is {organization.status}: nothing is created in it until the platform's admin makes it "
            "active again; what there is can be read and deleted",
            code=ErrorCode.ORGANIZATION_NOT_ACTIVE,
            details={"state": organization.status, "organization_id": str(organization.id)},
        )


async def require_active(session: AsyncSession, organization_id: UUID | None) -> None:
    """As `refuse_inactive`, for whatever belongs to an organization; None: to the platform."""
    found = None if organization_id is None else await session.get(Organization, organization_id)
    if found is not None:
        refuse_inactive(found)


async def refuse_addition(session: AsyncSession, row: Base) -> None:
    """Every row that a request adds is asked about: a new kind of resource cannot forget to."""
    if not isinstance(row, Organization):
        await require_active(session, getattr(row, "organization_id", None))
