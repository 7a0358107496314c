"""The audit log of an organization and that of the platform: list, export."""

import json
from collections.abc import AsyncGenerator
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request, Response

from api.auth.permissions import AuditRead
from api.auth.principal import Principal
from api.auth.readers import Reader
from api.dependencies import AppState, State
from api.http.envelope import PageEnvelope, reply_page
from api.http.moments import Moment
from api.http.pagination import PageCursor, PageNumber, PageSize, positioned
from api.http.streaming import LineStream, while_allowed
from api.schemas.audit import AuditEntryView, PlatformEntryView, audit_entry_view
from api.schemas.base import MAX_LINE, Searched
from domain.errors import DeliveryError, ForbiddenError
from domain.permissions import Scope
from storage.engine import transaction
from storage.repositories.audit import AuditFilter, AuditRepository
from storage.repositories.base import PageRequest
from storage.repositories.organizations import OrganizationRepository
from storage.tenancy import PLATFORM, Tenant

router = APIRouter(tags=["Audit log"])

BATCH = 500
Exactly = Annotated[str | None, Query(max_length=MAX_LINE, description="exactly this one"), Searched]

NDJSON: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "One entry a line, oldest first",
        "content": {
            "application/x-ndjson": {
                "schema": {"type": "string", "maxLength": 2**31 - 1},
                "example": '{"id":"...","action":"feature.updated","actor":"user-uuid-123","sequence":1}\n',
            }
        },
    }
}


async def _wanted(
    *,
    actor: Exactly = None,
    action: Exactly = None,
    resource_type: Exactly = None,
    resource_id: UUID | None = None,
    since: Moment = None,
    until: Moment = None,
) -> AuditFilter:
    return AuditFilter(actor, action, resource_type, resource_id, since, until)


async def _page(
    request: Request, page: PageNumber = 1, page_size: PageSize = 20, cursor: PageCursor = None
) -> PageRequest:
    return positioned(request, PageRequest(page, page_size, sort_by="occurred_at"), cursor)


Wanted = Annotated[AuditFilter, Depends(_wanted)]
AuditPage = Annotated[PageRequest, Depends(_page)]


@router.get(
    "/organizations/{org_id}/audit-log", summary="List audit entries", response_model=PageEnvelope[AuditEntryView]
)
async def list_audit_entries(
    *, request: Request, parts: State, principal: AuditRead, org_id: UUID, wanted: Wanted, page: AuditPage
) -> Response:
    """Newest first. `since` is inclusive, `until` exclusive."""
    await _check_organization(parts, principal, org_id)
    return await _listed(request, parts=parts, tenant=principal.tenant, org_id=org_id, wanted=wanted, page=page)


@router.get(
    "/organizations/{org_id}/audit-log/export",
    summary="Export audit entries",
    response_class=LineStream,
    responses=NDJSON,
)
async def export_audit_entries(
    request: Request, parts: State, principal: AuditRead, org_id: UUID, wanted: Wanted
) -> Response:
    """All entries that existed when the export began, as newline-delimited JSON, oldest first.

    An answer that breaks off is incomplete: continue with `since`. So is an answer whose last line is `{"error": ...}`:
    the caller lost the permission to read meanwhile.
    """
    await _check_organization(parts, principal, org_id)
    return await _exported(request, parts, principal, org_id, wanted)


@router.get("/audit-log", summary="List the platform's audit entries", response_model=PageEnvelope[PlatformEntryView])
async def list_platform_audit_entries(
    *, request: Request, parts: State, principal: AuditRead, wanted: Wanted, page: AuditPage
) -> Response:
    """For platform admins: entries that belong to no organization, such as logins, accounts and signing keys."""
    _check_platform(principal)
    return await _listed(request, parts=parts, tenant=PLATFORM, org_id=None, wanted=wanted, page=page)


@router.get(
    "/audit-log/export",
    summary="Export the platform's audit entries",
    response_class=LineStream,
    responses=NDJSON,
)
async def export_platform_audit_entries(
    request: Request, parts: State, principal: AuditRead, wanted: Wanted
) -> Response:
    """For platform admins. Works like the export of an organization's audit log."""
    _check_platform(principal)
    return await _exported(request, parts, principal, None, wanted)


def _check_platform(principal: Principal) -> None:
    if not principal.is_platform_admin:
        raise ForbiddenError("the platform's own audit log is for platform admins; yours is your organization's")


async def _check_organization(parts: AppState, principal: Principal, org_id: UUID) -> None:
    principal.require_organization(org_id)
    async with transaction(parts.sessions) as session:
        await OrganizationRepository(session, principal.tenant).get(org_id)


async def _listed(
    request: Request, *, parts: AppState, tenant: Tenant, org_id: UUID | None, wanted: AuditFilter, page: PageRequest
) -> Response:
    async with transaction(parts.sessions) as session:
        audit = AuditRepository(session, tenant)
        found = await audit.search(org_id, wanted, page)
        links = await audit.links(found.rows)
    return reply_page(request, found, [audit_entry_view(row, links[row.id]) for row in found.rows])


async def _exported(
    request: Request, parts: AppState, principal: Principal, org_id: UUID | None, wanted: AuditFilter
) -> Response:
    tenant = principal.tenant
    async with transaction(parts.sessions) as session:
        until = await AuditRepository(session, tenant).length(org_id)
    name = f'attachment; filename="audit-log-{org_id or "platform"}.ndjson"'
    held = parts.places.exports.take(principal)
    reader = Reader(request, parts, principal, Scope.AUDIT_READ)
    lines = while_allowed(_lines(parts, tenant, org_id, wanted, until), reader.fault, _broken_off)
    return LineStream(lines, headers={"Content-Disposition": name, "Cache-Control": "no-store"}).held_by(held)


def _broken_off(fault: DeliveryError) -> str:
    return json.dumps({"error": {"code": fault.code, "message": fault.message}}) + "\n"


async def _lines(
    parts: AppState, tenant: Tenant, org_id: UUID | None, wanted: AuditFilter, until: int
) -> AsyncGenerator[str, None]:
    """Yields batches, each read in a transaction of its own, so that a slow reader does not hold a connection."""
    last = 0
    while last < until:
        async with transaction(parts.sessions) as session:
            batch = await AuditRepository(session, tenant).along(org_id, wanted, after=last, until=until, limit=BATCH)
        if not batch:
            return
        yield "".join(f"{audit_entry_view(entry, link).model_dump_json()}\n" for entry, link in batch)
        last = batch[-1][1].sequence
