"""Service accounts of an organization: make, get, list, change, give a new secret, delete."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query, Request, Response
from sqlalchemy.ext.asyncio import AsyncSession

from api.auth.permissions import OrganizationsAdmin
from api.dependencies import State
from api.http.envelope import Envelope, PageEnvelope, Prepared, reply, reply_page
from api.http.idempotency import Idempotent
from api.http.links import location
from api.http.pagination import Search, SortedPage
from api.http.preconditions import Precondition
from api.schemas.clients import (
    ClientStatus,
    ServiceAccountCreate,
    ServiceAccountMade,
    ServiceAccountPatch,
    ServiceAccountView,
)
from api.services.clients import Clients, scopes_of
from domain.permissions import MemberRole
from runtime.ids import new_id, now
from storage.engine import transaction
from storage.models import Client
from storage.repositories.clients import ClientKind, ClientRepository
from storage.repositories.organizations import OrganizationRepository

router = APIRouter(tags=["Service accounts"])
KIND = ClientKind.SERVICE_ACCOUNT
ALL = "/organizations/{org_id}/service-accounts"
ONE = ALL + "/{service_account_id}"


@router.get(ALL, summary="List service accounts", response_model=PageEnvelope[ServiceAccountView])
async def list_service_accounts(
    *,
    request: Request,
    parts: State,
    principal: OrganizationsAdmin,
    org_id: UUID,
    page: SortedPage,
    status: Annotated[ClientStatus, Query(description="`disabled`: those that were deleted")] = ClientStatus.ACTIVE,
    search: Search = None,
) -> Response:
    """The service accounts of an organization; deleted ones only when asked for."""
    principal.require_organization(org_id)
    async with transaction(parts.sessions) as session:
        await OrganizationRepository(session, principal.tenant).get(org_id)
        found = await ClientRepository(session, principal.tenant).search(
            org_id, KIND, disabled=status is ClientStatus.DISABLED, text=search, request=page
        )
    return reply_page(request, found, [ServiceAccountView.of(row) for row in found.rows])


@router.post(ALL, summary="Create a service account", status_code=201, response_model=Envelope[ServiceAccountMade])
async def create_service_account(
    *,
    request: Request,
    parts: State,
    principal: OrganizationsAdmin,
    command: Idempotent,
    org_id: UUID,
    body: ServiceAccountCreate,
) -> Response:
    """Nobody gives it more than they hold. The secret is shown in this answer and never again."""
    principal.require_organization(org_id)
    scopes = scopes_of(principal, body.role, body.scopes)

    async def carry_out(session: AsyncSession) -> Response:
        row = Client(
            id=new_id(),
            organization_id=org_id,
            kind=KIND,
            name=body.name,
            role=body.role,
            scopes=scopes,
            created_by=principal.subject,
        )
        most = parts.settings.clients_per_organization
        secret = await Clients(session, principal, org_id, KIND).add(row, confidential=True, most=most)
        shown = Prepared.shown_once(ServiceAccountMade.with_secret(row, secret or ""), ServiceAccountView.of(row))
        return reply(request, shown, status=201, headers=location(request, f"{ALL.format(org_id=org_id)}/{row.id}"))

    return await command.run(carry_out)


@router.get(ONE, summary="Get a service account", response_model=Envelope[ServiceAccountView])
async def get_service_account(
    *, request: Request, parts: State, principal: OrganizationsAdmin, org_id: UUID, service_account_id: UUID
) -> Response:
    """What it may do; never its secret."""
    principal.require_organization(org_id)
    async with transaction(parts.sessions) as session:
        row = await ClientRepository(session, principal.tenant).of(org_id, KIND, service_account_id)
    return reply(request, ServiceAccountView.of(row))


@router.patch(ONE, summary="Change a service account", response_model=Envelope[ServiceAccountView])
async def change_service_account(
    *,
    request: Request,
    principal: OrganizationsAdmin,
    command: Idempotent,
    precondition: Precondition,
    org_id: UUID,
    service_account_id: UUID,
    body: ServiceAccountPatch,
) -> Response:
    """Fields that are not given stay. What takes something away from it ends its tokens at once."""
    principal.require_organization(org_id)

    async def carry_out(session: AsyncSession) -> Response:
        clients = Clients(session, principal, org_id, KIND)
        row = await clients.held(service_account_id)
        precondition.check(ServiceAccountView.of(row))
        values = body.changes()
        if values.keys() & {"role", "scopes"}:
            role = MemberRole(values.get("role") or row.role or "")
            values["scopes"] = scopes_of(principal, role, values.get("scopes", row.scopes))
        await clients.change(row, values)
        return reply(request, ServiceAccountView.of(row))

    return await command.run(carry_out)


@router.post(
    f"{ONE}/rotate-secret", summary="Rotate a service account's secret", response_model=Envelope[ServiceAccountMade]
)
async def rotate_service_account_secret(
    *, request: Request, principal: OrganizationsAdmin, command: Idempotent, org_id: UUID, service_account_id: UUID
) -> Response:
    """A new secret, shown in this answer and never again; the old one is refused from now on."""
    principal.require_organization(org_id)

    async def carry_out(session: AsyncSession) -> Response:
        clients = Clients(session, principal, org_id, KIND)
        row = await clients.held(service_account_id)
        secret = await clients.new_secret(row)
        return reply(request, ServiceAccountMade.with_secret(row, secret))

    return await command.run(carry_out)


@router.delete(ONE, summary="Delete a service account", status_code=204)
async def delete_service_account(
    *,
    parts: State,
    principal: OrganizationsAdmin,
    precondition: Precondition,
    org_id: UUID,
    service_account_id: UUID,
) -> Response:
    """It and its tokens are refused from now on. Deleting it again changes nothing."""
    principal.require_organization(org_id)
    async with transaction(parts.sessions) as session:
        clients = Clients(session, principal, org_id, KIND)
        row = await clients.held(service_account_id)
        precondition.check(ServiceAccountView.of(row))
        await clients.disable(row, now())
    return Response(status_code=204)
