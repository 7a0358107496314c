"""Applications registered by an organization: make, get, list, change, give a new secret, delete."""

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
    ApplicationCreate,
    ApplicationMade,
    ApplicationPatch,
    ApplicationType,
    ApplicationView,
    ClientStatus,
)
from api.services.clients import Clients
from runtime.ids import new_id, now
from storage.engine import transaction
from storage.models import Client
from storage.repositories.clients import ClientKind, ClientRepository
from storage.repositories.organizations import OrganizationRepository

router = APIRouter(tags=["Applications"])
KIND = ClientKind.APPLICATION
ALL = "/organizations/{org_id}/clients"
ONE = ALL + "/{client_id}"


@router.get(ALL, summary="List applications", response_model=PageEnvelope[ApplicationView])
async def list_applications(
    *,
    request: Request,
    parts: State,
    principal: OrganizationsAdmin,
    org_id: UUID,
    page: SortedPage,
    status: Annotated[ClientStatus, Query(description="`disabled`: those that were deleted")] = ClientStatus.ACTIVE,
    search: Search = None,
) -> Response:
    """The applications of an organization; deleted ones only when asked for."""
    principal.require_organization(org_id)
    async with transaction(parts.sessions) as session:
        await OrganizationRepository(session, principal.tenant).get(org_id)
        found = await ClientRepository(session, principal.tenant).search(
            org_id, KIND, disabled=status is ClientStatus.DISABLED, text=search, request=page
        )
    return reply_page(request, found, [ApplicationView.of(row) for row in found.rows])


@router.post(ALL, summary="Register an application", status_code=201, response_model=Envelope[ApplicationMade])
async def create_application(
    *,
    request: Request,
    parts: State,
    principal: OrganizationsAdmin,
    command: Idempotent,
    org_id: UUID,
    body: ApplicationCreate,
) -> Response:
    """A confidential one gets a secret, shown in this answer and never again."""
    principal.require_organization(org_id)

    async def carry_out(session: AsyncSession) -> Response:
        row = Client(
            id=new_id(),
            organization_id=org_id,
            kind=KIND,
            name=body.name,
            scopes=body.scopes,
            redirect_uris=body.redirect_uris,
            created_by=principal.subject,
        )
        confidential = body.type is ApplicationType.CONFIDENTIAL
        most = parts.settings.clients_per_organization
        secret = await Clients(session, principal, org_id, KIND).add(row, confidential=confidential, most=most)
        shown = Prepared.shown_once(ApplicationMade.with_secret(row, secret), ApplicationView.of(row))
        return reply(request, shown, status=201, headers=location(request, f"{ALL.format(org_id=org_id)}/{row.id}"))

    return await command.run(carry_out)


@router.get(ONE, summary="Get an application", response_model=Envelope[ApplicationView])
async def get_application(
    *, request: Request, parts: State, principal: OrganizationsAdmin, org_id: UUID, client_id: UUID
) -> Response:
    """Where it sends people back to, and what it may ask of them; never its secret."""
    principal.require_organization(org_id)
    async with transaction(parts.sessions) as session:
        row = await ClientRepository(session, principal.tenant).of(org_id, KIND, client_id)
    return reply(request, ApplicationView.of(row))


@router.patch(ONE, summary="Change an application", response_model=Envelope[ApplicationView])
async def change_application(
    *,
    request: Request,
    principal: OrganizationsAdmin,
    command: Idempotent,
    precondition: Precondition,
    org_id: UUID,
    client_id: UUID,
    body: ApplicationPatch,
) -> Response:
    """Fields that are not given stay."""
    principal.require_organization(org_id)

    async def carry_out(session: AsyncSession) -> Response:
        clients = Clients(session, principal, org_id, KIND)
        row = await clients.held(client_id)
        precondition.check(ApplicationView.of(row))
        await clients.change(row, body.changes())
        return reply(request, ApplicationView.of(row))

    return await command.run(carry_out)


@router.post(f"{ONE}/rotate-secret", summary="Rotate an application's secret", response_model=Envelope[ApplicationMade])
async def rotate_application_secret(
    *, request: Request, principal: OrganizationsAdmin, command: Idempotent, org_id: UUID, client_id: UUID
) -> Response:
    """A new secret, shown in this answer and never again; the old one is refused from now on. Public ones have none."""
    principal.require_organization(org_id)

    async def carry_out(session: AsyncSession) -> Response:
        clients = Clients(session, principal, org_id, KIND)
        row = await clients.held(client_id)
        secret = await clients.new_secret(row)
        return reply(request, ApplicationMade.with_secret(row, secret))

    return await command.run(carry_out)


@router.delete(ONE, summary="Delete an application", status_code=204)
async def delete_application(
    *, parts: State, principal: OrganizationsAdmin, precondition: Precondition, org_id: UUID, client_id: UUID
) -> Response:
    """Nobody can log in through it any more. Deleting it again changes nothing."""
    principal.require_organization(org_id)
    async with transaction(parts.sessions) as session:
        clients = Clients(session, principal, org_id, KIND)
        row = await clients.held(client_id)
        precondition.check(ApplicationView.of(row))
        await clients.disable(row, now())
    return Response(status_code=204)
