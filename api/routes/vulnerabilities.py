"""Vulnerabilities: of a project, of a build, one of them, and what people decide about it."""

from enum import StrEnum
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request, Response
from sqlalchemy.ext.asyncio import AsyncSession

from api.auth.permissions import SecurityRead, SecurityWrite
from api.dependencies import State
from api.http.envelope import Envelope, PageEnvelope, reply, reply_page
from api.http.idempotency import Idempotent
from api.http.pagination import PageCursor, PageNumber, PageSize, SortOrder, positioned
from api.http.preconditions import Precondition
from api.schemas.base import Searched
from api.schemas.vulnerabilities import VulnerabilityPatch, VulnerabilityView
from api.services.projects.lookup import kept_project
from api.services.vulnerabilities.reading import vulnerability_view, vulnerability_views
from api.services.vulnerabilities.triage import triage
from domain.findings import FindingKind, Severity
from domain.lifecycle import EnvironmentName
from domain.vulnerabilities import VulnerabilityStatus
from storage.engine import transaction
from storage.repositories.base import PageRequest
from storage.repositories.builds import BuildRepository
from storage.repositories.projects import ProjectRepository
from storage.repositories.vulnerabilities import VulnerabilityFilter, VulnerabilityRepository

router = APIRouter(tags=["Vulnerabilities"])


class VulnerabilitySort(StrEnum):
    """What lists can be sorted by."""

    SEVERITY = "severity"
    CREATED_AT = "created_at"
    LAST_SEEN_AT = "last_seen_at"

    @property
    def column(self) -> str:
        return "severity_rank" if self is VulnerabilitySort.SEVERITY else self.value


async def _page(
    *,
    request: Request,
    page: PageNumber = 1,
    page_size: PageSize = 20,
    cursor: PageCursor = None,
    sort_by: VulnerabilitySort = VulnerabilitySort.SEVERITY,
    sort_order: SortOrder = SortOrder.DESC,
) -> PageRequest:
    wanted = PageRequest(page, page_size, sort_by.column, sort_order is SortOrder.DESC)
    return positioned(request, wanted, cursor, [one.column for one in VulnerabilitySort])


async def _filter(
    severity: Severity | None = None,
    status: VulnerabilityStatus | None = None,
    kind: FindingKind | None = None,
    package: Annotated[
        str | None, Query(max_length=512, description="of exactly this package, by its whole name"), Searched
    ] = None,
    environment: Annotated[EnvironmentName | None, Query(description="a release that is live there has it")] = None,
) -> VulnerabilityFilter:
    return VulnerabilityFilter(severity, status, kind, package, environment)


VulnerabilityPage = Annotated[PageRequest, Depends(_page)]
Wanted = Annotated[VulnerabilityFilter, Depends(_filter)]


@router.get(
    "/projects/{project_id}/vulnerabilities",
    summary="List vulnerabilities of a project",
    response_model=PageEnvelope[VulnerabilityView],
)
async def list_vulnerabilities(
    *,
    request: Request,
    parts: State,
    principal: SecurityRead,
    project_id: UUID,
    page: VulnerabilityPage,
    wanted: Wanted,
) -> Response:
    """The worst first; each once, however many builds have it. A suppression that is over is `open` again."""
    async with transaction(parts.sessions) as session:
        await ProjectRepository(session, principal.tenant).get(project_id)
        found = await VulnerabilityRepository(session, principal.tenant).of_project(project_id, wanted, page)
        views = await vulnerability_views(session, found.rows)
    return reply_page(request, found, views)


@router.get(
    "/builds/{build_id}/vulnerabilities",
    summary="List vulnerabilities of a build",
    response_model=PageEnvelope[VulnerabilityView],
)
async def list_vulnerabilities_of_build(
    *,
    request: Request,
    parts: State,
    principal: SecurityRead,
    build_id: UUID,
    page: VulnerabilityPage,
    wanted: Wanted,
) -> Response:
    """The worst first, with version and place as in this build. What became known later is among them."""
    async with transaction(parts.sessions) as session:
        await BuildRepository(session, principal.tenant).get(build_id)
        vulnerabilities = VulnerabilityRepository(session, principal.tenant)
        found = await vulnerabilities.of_build(build_id, wanted, page)
        views = await vulnerability_views(session, found.rows, await vulnerabilities.places(build_id, found.rows))
    return reply_page(request, found, views)


@router.get(
    "/vulnerabilities/{vulnerability_id}",
    summary="Get a vulnerability",
    response_model=Envelope[VulnerabilityView],
)
async def get_vulnerability(
    request: Request, parts: State, principal: SecurityRead, vulnerability_id: UUID
) -> Response:
    """What it is, where it stands, and which live releases have it."""
    async with transaction(parts.sessions) as session:
        row = await VulnerabilityRepository(session, principal.tenant).get(vulnerability_id)
        view = await vulnerability_view(session, row)
    return reply(request, view)


@router.patch(
    "/vulnerabilities/{vulnerability_id}",
    summary="Triage a vulnerability",
    response_model=Envelope[VulnerabilityView],
)
async def change_vulnerability(
    *,
    request: Request,
    principal: SecurityWrite,
    command: Idempotent,
    precondition: Precondition,
    vulnerability_id: UUID,
    body: VulnerabilityPatch,
) -> Response:
    """Acknowledge it, suppress it for a while with a reason, or open it again. Deliveries are judged by it at once.

    Suppressing a critical one, or any for more than 90 days, needs `security:admin`.
    """

    async def carry_out(session: AsyncSession) -> Response:
        row = await VulnerabilityRepository(session, principal.tenant).get(vulnerability_id, lock=True)
        await kept_project(session, principal.tenant, row.project_id)
        if precondition.given:
            precondition.check(await vulnerability_view(session, row))
        await triage(session, principal, row, body)
        return reply(request, await vulnerability_view(session, row))

    return await command.run(carry_out)
