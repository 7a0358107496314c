"""The audit log of an organization: look through it, take it away."""

import re
from collections.abc import AsyncIterator
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic import AwareDatetime, BeforeValidator

from api.auth.permissions import AuditRead
from api.envelope import PageEnvelope, reply_page
from api.paging import PageCursor, PageNumber, PageSize, positioned
from api.parts import AppParts, Parts
from api.schemas.audit import AuditEntryView, audit_entry_view
from api.schemas.base import MAX_LINE, Storable
from api.streams import LineStream
from storage.engine import transaction
from storage.repositories.audit import AuditFilter, AuditRepository
from storage.repositories.base import PageRequest
from storage.repositories.organizations import OrganizationRepository
from storage.tenancy import Tenant

router = APIRouter(tags=["Audit log"])

BATCH = 500
Exactly = Annotated[str | None, Query(max_length=MAX_LINE, description="exactly this one"), Storable]

_MOMENT = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)")


def _written_out(value: object) -> object:
    """Pydantic would take numbers for seconds since 1970."""
    if isinstance(value, str) and not _MOMENT.fullmatch(value):
        raise ValueError("must be a moment with its offset from UTC, such as 2026-01-31T00:00:00Z")
    return value


Moment = Annotated[
    AwareDatetime | None,
    BeforeValidator(_written_out),
    Query(description="with its offset from UTC, such as 2026-01-31T00:00:00Z"),
]
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
    *, request: Request, parts: AppParts, principal: AuditRead, org_id: UUID, wanted: Wanted, page: AuditPage
) -> Response:
    """Newest first. `since` is the first moment that is wanted, `until` the first one that is not."""
    principal.require_organization(org_id)
    async with transaction(parts.sessions) as session:
        await OrganizationRepository(session, principal.tenant).get(org_id)
        audit = AuditRepository(session, principal.tenant)
        found = await audit.search(org_id, wanted, page)
        links = await audit.links(found.rows)
    return reply_page(request, found, [audit_entry_view(row, links[row.id]) for row in found.rows])


@router.get(
    "/organizations/{org_id}/audit-log/export",
    summary="Export audit entries",
    response_class=LineStream,
    responses=NDJSON,
)
async def export_audit_entries(parts: AppParts, principal: AuditRead, org_id: UUID, wanted: Wanted) -> Response:
    """As newline-delimited JSON, oldest first, whatever their number: with what was written when it began.

    An answer that breaks off before its end is not whole: go on with `since`.
    """
    principal.require_organization(org_id)
    async with transaction(parts.sessions) as session:
        await OrganizationRepository(session, principal.tenant).get(org_id)
        until = await AuditRepository(session, principal.tenant).length(org_id)
    name = f'attachment; filename="audit-log-{org_id}.ndjson"'
    lines = _lines(parts, principal.tenant, org_id, wanted, until)
    return LineStream(lines, headers={"Content-Disposition": name, "Cache-Control": "no-store"})


async def _lines(parts: Parts, tenant: Tenant, org_id: UUID, wanted: AuditFilter, until: int) -> AsyncIterator[str]:
    """Batch after batch, each in a transaction of its own: a slow reader holds no connection to the database."""
    last = 0
    while last < until:
        async with transaction(parts.sessions) as session:
            batch = await AuditRepository(session, tenant).along(org_id, wanted, after=last, until=until, limit=BATCH)
        if not batch:
            return
        yield "".join(f"{audit_entry_view(entry, link).model_dump_json()}\n" for entry, link in batch)
        last = batch[-1][1].sequence
