"""Creating invitations, and the mails they are sent by."""

from datetime import datetime, timedelta
from typing import Final
from urllib.parse import urlencode
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from api.auth.principal import Principal
from api.dependencies import AppState
from api.schemas.invitations import InvitationCreate
from api.services import audited_writes
from api.services.delegation import require_holds, require_may_give
from api.services.humans import remember
from api.services.mails import Mails
from api.services.members import check_seat
from domain.errors import ConflictError, ErrorCode, ForbiddenError
from domain.permissions import Role, permissions_of
from runtime.credentials import digest
from runtime.ids import new_id
from runtime.settings import Mode, Settings
from storage.models import Invitation, Organization
from storage.repositories.invitations import InvitationRepository
from storage.repositories.memberships import MembershipRepository
from storage.repositories.organizations import OrganizationRepository
from storage.repositories.users import UserRepository

GOOD_FOR: Final = timedelta(days=7)
PAGE: Final = "/oauth/invitation"
MAX_SLUG: Final = 63


async def invite(
    session: AsyncSession,
    principal: Principal,
    organization_id: UUID,
    body: InvitationCreate,
    *,
    token: str,
    at: datetime,
    parts: AppState,
) -> Invitation:
    """Create an invitation; open ones count against `max_users`, so that accepting cannot exceed it.

    With a mail server the token goes to the mailbox only. Without one the inviter passes it on: that
    proves no mailbox, except in production, where the operator alone does it, and answers for it.

    Raises:
        ForbiddenError: the role grants more than the caller's, or QUOTA_EXCEEDED, or there is no mail server.
        ConflictError: DUPLICATE_RESOURCE, a member already, or invited already.
        TooOftenError: too many mails for a day.
    """
    settings = parts.settings
    _check_may_invite(settings, principal)
    organization = await OrganizationRepository(session, principal.tenant).get(organization_id, lock=True)
    require_may_give(principal, body.role)
    require_holds(principal, permissions_of(Role(body.role)))
    await _check_new(session, principal, organization_id, body.email, sends_mail=settings.sends_mail, at=at)
    open_ones = await InvitationRepository(session, principal.tenant).count_open(organization_id, at)
    await check_seat(MembershipRepository(session, principal.tenant), organization, open_ones)
    row = Invitation(
        id=new_id(),
        organization_id=organization_id,
        email=body.email,
        role=body.role,
        token_hash=digest(token),
        invited_by=principal.subject,
        expires_at=at + GOOD_FOR,
        proves=settings.sends_mail or settings.mode is Mode.PRODUCTION,
    )
    await remember(session, principal)
    await audited_writes.add(session, row)
    if settings.sends_mail:
        await _mail(session, parts, organization, row, link=page_of(settings, token), at=at)
    return row


def _check_may_invite(settings: Settings, principal: Principal) -> None:
    if settings.sends_mail or settings.mode is not Mode.PRODUCTION or principal.is_platform_admin:
        return
    raise ForbiddenError(
        "this engine sends no mails (DELIVERY_SMTP_URL is not set), so that no mailbox can be proven: ask a "
        "platform admin to invite, and to hand the link over"
    )


async def _check_new(
    session: AsyncSession, principal: Principal, organization_id: UUID, email: str, *, sends_mail: bool, at: datetime
) -> None:
    """Refuse a second membership or invitation of the same person. The organization is locked."""
    members = MembershipRepository(session, principal.tenant)
    for user in await UserRepository(session, principal.tenant).claimants(email):
        # Who has not shown that the address is theirs may not be whom a mail would reach.
        theirs = user.email_verified or not sends_mail
        if theirs and await members.of(user.id, organization_id):
            raise _twice(f"{email} is a member already")
    if await InvitationRepository(session, principal.tenant).open_for(organization_id, email, at):
        raise _twice(f"{email} is invited already; revoke that invitation to make another one")


async def _mail(
    session: AsyncSession, parts: AppState, organization: Organization, row: Invitation, *, link: str, at: datetime
) -> None:
    await Mails(session, parts.settings, parts.sealer).write(
        "invitation",
        row.id,
        organization_id=organization.id,
        recipient=row.email,
        **_letter(organization, row, link),
        at=at,
        until=row.expires_at,
    )


def page_of(settings: Settings, token: str) -> str:
    """The URL of the page where an invitation is accepted."""
    return f"{settings.base_url}{PAGE}?{urlencode({'token': token})}"


def _letter(organization: Organization, row: Invitation, link: str) -> dict[str, str]:
    """The text is fixed and names only the organization's slug, so that invitations cannot carry spam."""
    role = row.role.replace("_", " ")
    return {
        "subject": f"Invitation to the organization {organization.slug[:MAX_SLUG]}",
        "text": f"You are invited to the organization {organization.slug[:MAX_SLUG]} as {role}.\n\n"
        f"To accept, open this address until {row.expires_at:%Y-%m-%d %H:%M} UTC and choose a password:\n\n{link}\n\n"
        "Whoever has this address can accept: do not pass it on. If you did not expect this, do nothing.\n",
    }


def _twice(message: str) -> ConflictError:
    return ConflictError(message, code=ErrorCode.DUPLICATE_RESOURCE)
