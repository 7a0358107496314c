"""Vulnerabilities as people read and triage them; `scan_records.py` writes what scans find."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Select, and_, func, or_, select

from domain.findings import FindingKind, Severity
from domain.lifecycle import EnvironmentName, ReleaseState
from domain.vulnerabilities import RANKS, SEVERITY_OF_RANK, VulnerabilityStatus
from storage.models import BuildFinding, Deployment, Release, Vulnerability
from storage.repositories.base import Page, PageRequest, Repository


@dataclass(frozen=True)
class VulnerabilityFilter:
    """What a list shows; None: whichever. `environment`: a live release there has it."""

    severity: Severity | None = None
    status: VulnerabilityStatus | None = None
    kind: FindingKind | None = None
    package: str | None = None
    environment: EnvironmentName | None = None


class VulnerabilityRepository(Repository[Vulnerability]):
    """Vulnerabilities by project and by build."""

    model = Vulnerability
    noun = "vulnerability"

    async def of_project(
        self, project_id: UUID, wanted: VulnerabilityFilter, request: PageRequest
    ) -> Page[Vulnerability]:
        """Those of a project."""
        return await self.page(self.listed(project_id, wanted), request)

    def listed(self, project_id: UUID, wanted: VulnerabilityFilter) -> Select[Vulnerability]:
        """The statement of `of_project`, for its plan."""
        return self.base().where(Vulnerability.project_id == project_id, *_conditions(wanted))

    async def of_build(self, build_id: UUID, wanted: VulnerabilityFilter, request: PageRequest) -> Page[Vulnerability]:
        """Those that a build has."""
        statement = self.base().join(BuildFinding, BuildFinding.vulnerability_id == Vulnerability.id)
        return await self.page(statement.where(BuildFinding.build_id == build_id, *_conditions(wanted)), request)

    async def places(self, build_id: UUID, rows: Sequence[Vulnerability]) -> Mapping[UUID, Mapping[str, Any]]:
        """Where in a build each of these is: version of the package, path, line."""
        statement = select(
            BuildFinding.vulnerability_id,
            BuildFinding.package_version,
            BuildFinding.location_path,
            BuildFinding.location_line,
        ).where(BuildFinding.build_id == build_id, BuildFinding.vulnerability_id.in_([row.id for row in rows]))
        found = (dict(row) for row in (await self.session.execute(statement)).mappings())
        return {row.pop("vulnerability_id"): row for row in found}

    async def counts(self, project_ids: Sequence[UUID]) -> Mapping[UUID, Mapping[Severity, int]]:
        """How many of each severity count now, by project."""
        found: dict[UUID, dict[Severity, int]] = defaultdict(lambda: dict.fromkeys(Severity, 0))
        statement = (
            select(Vulnerability.project_id, Vulnerability.severity_rank, func.count())
            .where(Vulnerability.project_id.in_(project_ids), _counts())
            .group_by(Vulnerability.project_id, Vulnerability.severity_rank)
        )
        for project_id, rank, count in await self.session.execute(statement):
            found[project_id][SEVERITY_OF_RANK[rank]] = count
        return found


def _conditions(wanted: VulnerabilityFilter) -> list[ColumnElement[bool]]:
    conditions: list[ColumnElement[bool]] = []
    if wanted.severity is not None:
        conditions.append(Vulnerability.severity_rank == RANKS[wanted.severity])
    if wanted.status is not None:
        conditions.append(_has(wanted.status))
    if wanted.kind is not None:
        conditions.append(Vulnerability.kind == wanted.kind)
    if wanted.package is not None:
        conditions.append(Vulnerability.package == wanted.package)
    if wanted.environment is not None:
        conditions.append(_is_live_in(wanted.environment))
    return conditions


def _has(status: VulnerabilityStatus) -> ColumnElement[bool]:
    """A suppression ends by itself: the clock decides, and no job that may be late."""
    is_suppressed = Vulnerability.status == VulnerabilityStatus.SUPPRESSED
    if status is VulnerabilityStatus.SUPPRESSED:
        return and_(is_suppressed, Vulnerability.suppressed_until > func.now())
    if status is VulnerabilityStatus.OPEN:
        is_over = and_(is_suppressed, Vulnerability.suppressed_until <= func.now())
        return or_(Vulnerability.status == VulnerabilityStatus.OPEN, is_over)
    return Vulnerability.status == status


def _counts() -> ColumnElement[bool]:
    # The first condition is that of the partial index.
    return and_(
        Vulnerability.status != VulnerabilityStatus.FIXED,
        or_(_has(VulnerabilityStatus.OPEN), _has(VulnerabilityStatus.ACKNOWLEDGED)),
    )


def _is_live_in(environment: EnvironmentName) -> ColumnElement[bool]:
    live = (
        select(BuildFinding.build_id)
        .join(Release, Release.build_id == BuildFinding.build_id)
        .join(Deployment, Deployment.id == Release.deployment_id)
        .where(
            BuildFinding.vulnerability_id == Vulnerability.id,
            Release.state == ReleaseState.ACTIVE,
            Deployment.environment == environment,
        )
    )
    return live.exists()
