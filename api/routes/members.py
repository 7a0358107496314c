"""Members of an organization: get, list, change the role, remove. Members join by invitation."""

from uuid import UUID

from fastapi import APIRouter, Request, Response
from sqlalchemy.ext.asyncio import AsyncSession

from api.auth.permissions import OrganizationsAdmin, OrganizationsRead
from api.dependencies import State
from api.http.envelope import Envelope, PageEnvelope, reply, reply_page
from api.http.idempotency import Idempotent
from api.http.pagination import WantedPage
from api.http.preconditions import Precondition
from api.schemas.members import MemberPatch, MemberView
from api.services.members import Members
from domain.permissions import MemberRole
from storage.engine import transaction
from storage.repositories.memberships import MembershipRepository
from storage.repositories.organizations import OrganizationRepository
from storage.repositories.users import UserRepository

router = APIRouter(tags=["Members"])


@router.get("/organizations/{org_id}/members", summary="List members", response_model=PageEnvelope[MemberView])
async def list_members(
    *,
    request: Request,
    parts: State,
    principal: OrganizationsRead,
    org_id: UUID,
    page: WantedPage,
    role: MemberRole | None = None,
) -> Response:
    """The members of an organization, newest first."""
    principal.require_organization(org_id)
    async with transaction(parts.sessions) as session:
        await OrganizationRepository(session, principal.tenant).get(org_id)
        found = await MembershipRepository(session, principal.tenant).search(org_id, role=role, request=page)
        users = await UserRepository(session, principal.tenant).several([row.user_id for row in found.rows])
    by_id = {user.id: user for user in users}
    return reply_page(request, found, [MemberView.of(row, by_id[row.user_id]) for row in found.rows])


@router.get("/organizations/{org_id}/members/{user_id}", summary="Get a member", response_model=Envelope[MemberView])
async def get_member(
    request: Request, parts: State, principal: OrganizationsRead, org_id: UUID, user_id: UUID
) -> Response:
    """A user and their role in this organization."""
    principal.require_organization(org_id)
    async with transaction(parts.sessions) as session:
        membership = await MembershipRepository(session, principal.tenant).member(user_id, org_id)
        user = await UserRepository(session, principal.tenant).get(user_id)
    return reply(request, MemberView.of(membership, user))


@router.patch(
    "/organizations/{org_id}/members/{user_id}", summary="Change a member's role", response_model=Envelope[MemberView]
)
async def change_member(
    *,
    request: Request,
    principal: OrganizationsAdmin,
    command: Idempotent,
    precondition: Precondition,
    org_id: UUID,
    user_id: UUID,
    body: MemberPatch,
) -> Response:
    """You cannot grant a role above your own. A lower role ends the member's tokens at once. The last admin stays."""
    principal.require_organization(org_id)

    async def carry_out(session: AsyncSession) -> Response:
        return reply(request, await Members(session, principal, org_id).give_role(user_id, body.role, precondition))

    return await command.run(carry_out)


@router.delete("/organizations/{org_id}/members/{user_id}", summary="Remove a member", status_code=204)
async def remove_member(
    *, parts: State, principal: OrganizationsAdmin, precondition: Precondition, org_id: UUID, user_id: UUID
) -> Response:
    """Ends the member's tokens for this organization. User and other memberships stay. The last admin stays too."""
    principal.require_organization(org_id)
    async with transaction(parts.sessions) as session:
        await Members(session, principal, org_id).remove(user_id, precondition)
    return Response(status_code=204)
