"""Organizations: create, get, list, change."""

from uuid import UUID

from fastapi import APIRouter, Request, Response
from sqlalchemy.ext.asyncio import AsyncSession

from api.auth.permissions import OrganizationsRead, OrganizationsWrite
from api.auth.principal import Principal
from api.dependencies import State
from api.http.envelope import Envelope, PageEnvelope, reply, reply_page
from api.http.idempotency import Idempotent
from api.http.links import location
from api.http.pagination import Search, SortedPage
from api.http.preconditions import Precondition
from api.schemas.organizations import GRANTED, LIMITING, OrganizationCreate, OrganizationPatch, OrganizationView
from api.services import audited_writes
from api.services.organizations.create import found_organization
from domain.errors import ForbiddenError, UnprocessableError
from domain.organizations import OrganizationStatus
from domain.permissions import Role, Scope
from domain.rate_limits import Plan
from storage.engine import transaction
from storage.models import Organization
from storage.repositories.api_keys import notify
from storage.repositories.memberships import MembershipRepository
from storage.repositories.organizations import OrganizationRepository
from storage.repositories.projects import ProjectRepository
from storage.tenancy import PLATFORM

router = APIRouter(tags=["Organizations"])

# Fields that any admin may set; only platform admins set the others.
FREE_USERS = 10
FREE_PROJECTS = 5


@router.get("/organizations", summary="List organizations", response_model=PageEnvelope[OrganizationView])
async def list_organizations(
    *,
    request: Request,
    parts: State,
    principal: OrganizationsRead,
    page: SortedPage,
    status: OrganizationStatus | None = None,
    search: Search = None,
) -> Response:
    """The organizations that the caller may see: its own, or all for platform admins."""
    async with transaction(parts.sessions) as session:
        found = await OrganizationRepository(session, principal.tenant).search(status=status, text=search, request=page)
    return reply_page(request, found, [OrganizationView.model_validate(row) for row in found.rows])


@router.post(
    "/organizations", summary="Create an organization", status_code=201, response_model=Envelope[OrganizationView]
)
async def create_organization(
    request: Request, parts: State, principal: OrganizationsWrite, command: Idempotent, body: OrganizationCreate
) -> Response:
    """For admins, who become admin of the new organization. The number per admin is limited.

    Only platform admins grant plans other than free and quotas above the free ones.
    """
    _check_may_create(principal, body)

    async def create(session: AsyncSession) -> Response:
        row = await found_organization(session, parts.settings, principal, body)
        headers = location(request, f"/organizations/{row.id}")
        return reply(request, OrganizationView.model_validate(row), status=201, headers=headers)

    return await command.run(create)


@router.get("/organizations/{org_id}", summary="Get an organization", response_model=Envelope[OrganizationView])
async def get_organization(request: Request, parts: State, principal: OrganizationsRead, org_id: UUID) -> Response:
    """Members see their own organization, platform admins see every one."""
    principal.require_organization(org_id)
    async with transaction(parts.sessions) as session:
        row = await OrganizationRepository(session, principal.tenant).get(org_id)
    return reply(request, OrganizationView.model_validate(row))


@router.patch("/organizations/{org_id}", summary="Change an organization", response_model=Envelope[OrganizationView])
async def change_organization(
    *,
    request: Request,
    principal: OrganizationsWrite,
    command: Idempotent,
    precondition: Precondition,
    org_id: UUID,
    body: OrganizationPatch,
) -> Response:
    """For its admins, who may lower `max_users` and `max_projects`, but not below the present use.

    Only platform admins set plan, status, rate limits and larger quotas. Fields that are not given stay as they are.
    """
    principal.require_organization(org_id)
    _check_may_change(principal, body)

    async def carry_out(session: AsyncSession) -> Response:
        row = await OrganizationRepository(session, principal.tenant).get(org_id, lock=True)
        precondition.check(OrganizationView.model_validate(row))
        _check_not_raised(principal, row, body)
        await _check_quotas(session, row, body)
        await audited_writes.change(session, row, body.changes())
        if LIMITING & body.model_fields_set:
            await notify(session)
        return reply(request, OrganizationView.model_validate(row))

    return await command.run(carry_out)


def _check_may_change(principal: Principal, body: OrganizationPatch) -> None:
    if principal.is_platform_admin:
        return
    if principal.role is not Role.ADMIN:
        raise ForbiddenError("organizations are changed by their admins")
    if asked := sorted(GRANTED & body.model_fields_set):
        raise ForbiddenError(
            f"{', '.join(asked)}: given by platform admins alone",
            details={"missing_role": Role.PLATFORM_ADMIN, "fields": asked},
        )


def _check_not_raised(principal: Principal, row: Organization, body: OrganizationPatch) -> None:
    """Admins may set a quota up to its current value or the free plan's, whichever is larger."""
    if principal.is_platform_admin:
        return
    most = {"max_users": max(row.max_users, FREE_USERS), "max_projects": max(row.max_projects, FREE_PROJECTS)}
    asked = {name: getattr(body, name) for name in most if name in body.model_fields_set}
    if raised := sorted(name for name, value in asked.items() if value > most[name]):
        limits = ", ".join(f"{name} at most {most[name]}" for name in raised)
        raise ForbiddenError(
            f"larger quotas are given by platform admins alone; you may set {limits}",
            details={"missing_role": Role.PLATFORM_ADMIN, "fields": raised},
        )


async def _check_quotas(session: AsyncSession, row: Organization, body: OrganizationPatch) -> None:
    """Creating projects or members locks the organization as well, so the counts hold until the transaction ends."""
    quotas = (
        ("max_projects", "projects", ProjectRepository(session, PLATFORM)),
        ("max_users", "members", MembershipRepository(session, PLATFORM)),
    )
    for field, things, counted in quotas:
        limit = getattr(body, field)
        if field not in body.model_fields_set or limit >= getattr(row, field):
            continue
        count = await counted.count(row.id)
        if limit < count:
            raise UnprocessableError(
                f"the organization has {count} {things}; {field} cannot be less",
                details={"field": field, "given": limit, things: count},
            )


def _check_may_create(principal: Principal, body: OrganizationCreate) -> None:
    if principal.is_platform_admin:
        return
    if principal.role is not Role.ADMIN:
        raise ForbiddenError("organizations are created by admins")
    if body.plan is not Plan.FREE or body.max_users > FREE_USERS or body.max_projects > FREE_PROJECTS:
        raise ForbiddenError(
            f"plans other than free, more than {FREE_USERS} users or more than {FREE_PROJECTS} projects are given "
            "by platform admins",
            details={"missing_role": Role.PLATFORM_ADMIN, "scope": Scope.ORGANIZATIONS_ADMIN},
        )
