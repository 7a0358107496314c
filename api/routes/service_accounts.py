"""Service accounts of an organization: create, get, list, change, rotate the secret, delete."""

from typing import Annotated, Any
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
from api.schemas.clients import ServiceAccountCreate, ServiceAccountMade, ServiceAccountPatch, ServiceAccountView
from api.services.clients import scopes_of
from domain.clients import ClientKind, ClientStatus
from domain.permissions import MemberRole
from runtime.ids import new_id
from storage.models import Client

router = APIRouter(tags=["Service accounts"])
ALL = "/organizations/{org_id}/service-accounts"
ONE = ALL + "/{service_account_id}"


def _accounts(request: Request, parts: AppState, principal: Principal, org_id: UUID) -> RequestedClients:
    return RequestedClients(request, parts, principal, org_id, ClientKind.SERVICE_ACCOUNT, ServiceAccountView.of)


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
    """The service accounts of an organization. Deleted ones are listed only with `status=disabled`."""
    return await _accounts(request, parts, principal, org_id).page(status=status, text=search, page=page)


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
    """You cannot grant it more than you hold. The secret is shown in this answer and never again."""
    accounts = _accounts(request, parts, principal, org_id)
    row = Client(
        id=new_id(),
        organization_id=org_id,
        kind=ClientKind.SERVICE_ACCOUNT,
        name=body.name,
        role=body.role,
        scopes=scopes_of(principal, body.role, body.scopes),
        created_by=principal.subject,
    )
    return await accounts.create(
        command, row, path=ALL.format(org_id=org_id), confidential=True, with_secret=ServiceAccountMade.with_secret
    )


@router.get(ONE, summary="Get a service account", response_model=Envelope[ServiceAccountView])
async def get_service_account(
    *, request: Request, parts: State, principal: OrganizationsAdmin, org_id: UUID, service_account_id: UUID
) -> Response:
    """Its permissions, without its secret."""
    return await _accounts(request, parts, principal, org_id).one(service_account_id)


@router.patch(ONE, summary="Change a service account", response_model=Envelope[ServiceAccountView])
async def change_service_account(
    *,
    request: Request,
    parts: State,
    principal: OrganizationsAdmin,
    command: Idempotent,
    precondition: Precondition,
    org_id: UUID,
    service_account_id: UUID,
    body: ServiceAccountPatch,
) -> Response:
    """Fields not given stay as they are. A change that removes permissions ends the account's tokens at once."""

    def changes(row: Client) -> dict[str, Any]:
        values = body.changes()
        if values.keys() & {"role", "scopes"}:
            role = MemberRole(values.get("role") or row.role or "")
            values["scopes"] = scopes_of(principal, role, values.get("scopes", row.scopes))
        return values

    accounts = _accounts(request, parts, principal, org_id)
    return await accounts.change(command, precondition, service_account_id, changes)


@router.post(
    f"{ONE}/rotate-secret", summary="Rotate a service account's secret", response_model=Envelope[ServiceAccountMade]
)
async def rotate_service_account_secret(
    *,
    request: Request,
    parts: State,
    principal: OrganizationsAdmin,
    command: Idempotent,
    org_id: UUID,
    service_account_id: UUID,
) -> Response:
    """The new secret is shown in this answer and never again. The old one is refused from now on."""
    accounts = _accounts(request, parts, principal, org_id)
    return await accounts.rotate_secret(command, service_account_id, ServiceAccountMade.with_secret)


@router.delete(ONE, summary="Delete a service account", status_code=204)
async def delete_service_account(
    *,
    request: Request,
    parts: State,
    principal: OrganizationsAdmin,
    precondition: Precondition,
    org_id: UUID,
    service_account_id: UUID,
) -> Response:
    """The account and its tokens are refused from now on. Deleting it again changes nothing."""
    return await _accounts(request, parts, principal, org_id).delete(precondition, service_account_id)
