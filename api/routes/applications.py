"""Applications registered by an organization: create, get, list, change, rotate the secret, delete."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query, Request, Response

from api.auth.permissions import OrganizationsAdmin
from api.auth.principal import Principal
from api.dependencies import AppState, State
from api.http.envelope import Envelope, PageEnvelope
from api.http.idempotency import Idempotent
from api.http.pagination import Search, SortedPage
from api.http.preconditions import Precondition
from api.routes.clients import RequestedClients
from api.schemas.clients import ApplicationCreate, ApplicationMade, ApplicationPatch, ApplicationView
from domain.clients import ApplicationType, ClientKind, ClientStatus
from runtime.ids import new_id
from storage.models import Client

router = APIRouter(tags=["Applications"])
ALL = "/organizations/{org_id}/clients"
ONE = ALL + "/{client_id}"


def _applications(request: Request, parts: AppState, principal: Principal, org_id: UUID) -> RequestedClients:
    return RequestedClients(request, parts, principal, org_id, ClientKind.APPLICATION, ApplicationView.of)


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
    """The applications of an organization. Deleted ones are listed only with `status=disabled`."""
    return await _applications(request, parts, principal, org_id).page(status=status, text=search, page=page)


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
    """A confidential application gets a secret. It is shown in this answer and never again."""
    row = Client(
        id=new_id(),
        organization_id=org_id,
        kind=ClientKind.APPLICATION,
        name=body.name,
        scopes=body.scopes,
        redirect_uris=body.redirect_uris,
        created_by=principal.subject,
    )
    return await _applications(request, parts, principal, org_id).create(
        command,
        row,
        path=ALL.format(org_id=org_id),
        confidential=body.type is ApplicationType.CONFIDENTIAL,
        with_secret=ApplicationMade.with_secret,
    )


@router.get(ONE, summary="Get an application", response_model=Envelope[ApplicationView])
async def get_application(
    *, request: Request, parts: State, principal: OrganizationsAdmin, org_id: UUID, client_id: UUID
) -> Response:
    """Its redirect URIs and scopes, without its secret."""
    return await _applications(request, parts, principal, org_id).one(client_id)


@router.patch(ONE, summary="Change an application", response_model=Envelope[ApplicationView])
async def change_application(
    *,
    request: Request,
    parts: State,
    principal: OrganizationsAdmin,
    command: Idempotent,
    precondition: Precondition,
    org_id: UUID,
    client_id: UUID,
    body: ApplicationPatch,
) -> Response:
    """Fields that are not given stay as they are."""
    applications = _applications(request, parts, principal, org_id)
    return await applications.change(command, precondition, client_id, lambda _: body.changes())


@router.post(f"{ONE}/rotate-secret", summary="Rotate an application's secret", response_model=Envelope[ApplicationMade])
async def rotate_application_secret(
    *, request: Request, parts: State, principal: OrganizationsAdmin, command: Idempotent, org_id: UUID, client_id: UUID
) -> Response:
    """This answer shows the new secret, once. The old one is refused from now on. Public clients have no secret."""
    applications = _applications(request, parts, principal, org_id)
    return await applications.rotate_secret(command, client_id, ApplicationMade.with_secret)


@router.delete(ONE, summary="Delete an application", status_code=204)
async def delete_application(
    *,
    request: Request,
    parts: State,
    principal: OrganizationsAdmin,
    precondition: Precondition,
    org_id: UUID,
    client_id: UUID,
) -> Response:
    """Nobody can log in through it any more. Deleting it again changes nothing."""
    return await _applications(request, parts, principal, org_id).delete(precondition, client_id)
