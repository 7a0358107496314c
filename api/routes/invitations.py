"""Invitations into an organization: create, get, list, revoke, accept."""

from uuid import UUID

from fastapi import APIRouter, Request, Response
from sqlalchemy.ext.asyncio import AsyncSession

from api.auth.permissions import OrganizationsAdmin
from api.dependencies import State
from api.http.envelope import Envelope, PageEnvelope, Prepared, reply, reply_page
from api.http.errors import TooOftenError
from api.http.idempotency import Idempotent, IdempotentOf
from api.http.links import location
from api.http.pagination import WantedPage
from api.http.preconditions import Precondition
from api.rate_limits.sensitive_limits import INVITATIONS
from api.schemas.invitations import InvitationAccept, InvitationCreate, InvitationMade, InvitationView
from api.schemas.members import MemberView
from api.services import audited_writes
from api.services.accept_invitation import Joining
from api.services.invitations import invite, page_of
from api.version import PREFIX
from domain.errors import ConflictError, ErrorCode, NotFoundError
from domain.invitations import InvitationStatus
from runtime.credentials import INVITATION, digest, new_secret
from runtime.ids import now
from storage.engine import transaction
from storage.models import Invitation
from storage.repositories.invitations import InvitationRepository
from storage.repositories.mails import MailRepository
from storage.repositories.organizations import OrganizationRepository

router = APIRouter(tags=["Members"])
# For people without an account: the token authenticates them.
open_router = APIRouter(tags=["Members"])
ACCEPT = "/invitations/accept"


@router.get(
    "/organizations/{org_id}/invitations", summary="List invitations", response_model=PageEnvelope[InvitationView]
)
async def list_invitations(
    *,
    request: Request,
    parts: State,
    principal: OrganizationsAdmin,
    org_id: UUID,
    page: WantedPage,
    status: InvitationStatus | None = None,
) -> Response:
    """The invitations of an organization, newest first."""
    principal.require_organization(org_id)
    at = now()
    async with transaction(parts.sessions) as session:
        await OrganizationRepository(session, principal.tenant).get(org_id)
        found = await InvitationRepository(session, principal.tenant).search(org_id, status=status, at=at, request=page)
    return reply_page(request, found, [InvitationView.of(row, at) for row in found.rows])


@router.post(
    "/organizations/{org_id}/invitations",
    summary="Invite somebody",
    status_code=201,
    response_model=Envelope[InvitationMade],
)
async def create_invitation(
    *,
    request: Request,
    parts: State,
    principal: OrganizationsAdmin,
    command: Idempotent,
    org_id: UUID,
    body: InvitationCreate,
) -> Response:
    """The invitation is valid for seven days. With a mail server, the link is sent to the mailbox only.

    Without a mail server, this answer shows the link, once: pass it on to the invited person.
    """
    principal.require_organization(org_id)

    async def carry_out(session: AsyncSession) -> Response:
        token, at = new_secret(INVITATION), now()
        row = await invite(session, principal, org_id, body, token=token, at=at, parts=parts)
        address = f"{parts.settings.base_url}{PREFIX}{ACCEPT}"
        if parts.settings.sends_mail:
            made = InvitationMade.mailed(row, at, accept_url=address)
        else:
            link = page_of(parts.settings, token)
            made = InvitationMade.with_token(row, at, token=token, link=link, accept_url=address)
        headers = location(request, f"/organizations/{org_id}/invitations/{row.id}")
        return reply(request, Prepared.shown_once(made, InvitationView.of(row, at)), status=201, headers=headers)

    return await command.run(carry_out)


@router.get(
    "/organizations/{org_id}/invitations/{invitation_id}",
    summary="Get an invitation",
    response_model=Envelope[InvitationView],
)
async def get_invitation(
    *, request: Request, parts: State, principal: OrganizationsAdmin, org_id: UUID, invitation_id: UUID
) -> Response:
    """Whom it is for, and its status, without its token."""
    principal.require_organization(org_id)
    async with transaction(parts.sessions) as session:
        row = await InvitationRepository(session, principal.tenant).get(invitation_id)
        _check_place(row, org_id)
    return reply(request, InvitationView.of(row, now()))


@router.delete("/organizations/{org_id}/invitations/{invitation_id}", summary="Revoke an invitation", status_code=204)
async def revoke_invitation(
    *, parts: State, principal: OrganizationsAdmin, precondition: Precondition, org_id: UUID, invitation_id: UUID
) -> Response:
    """Its token stops working. An accepted invitation cannot be revoked: remove the member instead."""
    principal.require_organization(org_id)
    async with transaction(parts.sessions) as session:
        row = await InvitationRepository(session, principal.tenant).get(invitation_id, lock=True)
        _check_place(row, org_id)
        precondition.check(InvitationView.of(row, now()))
        if row.accepted_at is not None:
            raise ConflictError("the invitation is accepted; remove the member", code=ErrorCode.INVALID_STATE)
        if row.revoked_at is None:
            await audited_writes.change(session, row, {"revoked_at": now()}, action="revoked")
            await MailRepository(session).give_up(row.id)
    return Response(status_code=204)


@open_router.post(ACCEPT, summary="Accept an invitation", response_model=Envelope[MemberView])
async def accept_invitation(
    request: Request, parts: State, command_of: IdempotentOf, body: InvitationAccept
) -> Response:
    """No credentials needed: the token is one. Makes you a member, and creates a user if the email has none yet.

    If a user with this email exists, its password is needed to show that it is you. If somebody registered your email
    without verifying it, give a `name`: a user of your own is created.
    """
    if wait_s := await parts.oauth.limits.wait_s(INVITATIONS, request.scope):
        raise TooOftenError(wait_s)
    command = await command_of(f"invitation/{digest(body.token.get_secret_value())}")

    joining = Joining(parts, body, now())

    async def carry_out(session: AsyncSession) -> Response:
        return reply(request, await joining.join(session))

    return await command.run(carry_out, before=joining.look)


def _check_place(row: Invitation, organization_id: UUID) -> None:
    """For platform admins, who see all organizations' invitations: this one must belong to the one in the path."""
    if row.organization_id != organization_id:
        raise NotFoundError(f"invitation {row.id} does not exist")
