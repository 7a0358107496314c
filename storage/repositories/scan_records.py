"""What scans found, written with the build: once for each weakness of a project, however often it is found."""

import asyncio
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, TypeVar
from uuid import UUID

from sqlalchemy import delete, func, or_, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from domain.findings import Ecosystem, Finding, FindingKind, Severity
from domain.foreign_text import storable_value
from domain.lifecycle import ScanStatus
from domain.package_names import normal_name
from domain.same_weakness import Known, Settled, settled
from domain.scan_policy import worst_first
from domain.texts import shown
from domain.vulnerabilities import RANKS, SEVERITY_OF_RANK, TOLD_AT_ONCE, VulnerabilityStatus
from runtime.ids import new_id
from storage.models import Build, BuildFinding, Project, Vulnerability
from storage.repositories.event_writer import EventWriter
from storage.repositories.live_releases import LiveReleases

T = TypeVar("T")

# Rows that are written at once: between portions the worker's other builds have their turn.
PORTION: Final = 200


@dataclass(frozen=True)
class Scanned:
    """What is written of one scan of a build.

    Attributes:
        findings: each fingerprint once.
        tools: names of those that did their work: of theirs, what is not among the findings is gone.
        cut: findings that are not among them, since there were too many; None: as many as at the build's last scan.
    """

    findings: Sequence[Finding]
    tools: Collection[str]
    cut: Mapping[Severity, int] | None


@dataclass(frozen=True)
class Kept:
    """`ids` by fingerprint. `detected`: how many nobody knew of, or were fixed before.

    `findings`: as they were written: each weakness once, with the fingerprint by which the project knows it.
    """

    ids: Mapping[str, UUID]
    detected: int
    findings: tuple[Finding, ...]


class ScanRecordRepository:
    """Writes scans of all tenants."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def suppressed(self, project_id: UUID) -> frozenset[str]:
        """Fingerprints of what people left out of the count, and for now still is."""
        statement = select(Vulnerability.fingerprint).where(
            Vulnerability.project_id == project_id,
            # Fixed ones, too: found again, they are suppressed again.
            Vulnerability.suppressed_until > func.now(),
        )
        return frozenset(await self._session.scalars(statement))

    async def record(self, build_id: UUID, scanned: Scanned) -> Kept:
        """Write findings and counts of a build, and the events of what is new; doing it again changes nothing.

        The project's row is locked meanwhile, so that two builds at once find the same weakness once.
        """
        project_id = await self._session.scalar(select(Build.project_id).where(Build.id == build_id))
        # NO KEY: rows that merely refer to the project can still be written meanwhile.
        await self._session.execute(select(Project.id).where(Project.id == project_id).with_for_update(key_share=True))
        build = await self._session.get_one(
            Build, build_id, with_for_update={"key_share": True}, populate_existing=True
        )
        moment: datetime = (await self._session.execute(select(func.now()))).scalar_one()
        settled = await self._settled(build.project_id, scanned.findings)
        findings = {one.fingerprint: one for one in settled.findings}
        told = await asyncio.to_thread(_all_told, settled.findings)
        detected, rows = list[Vulnerability](), list[Vulnerability]()
        new = list[Vulnerability]()
        for portion in _portions(list(findings)):
            known = await self._known(build.project_id, portion)
            detected += [row for row in known if self._seen(row, findings[row.fingerprint], told, build, moment)]
            here = {row.fingerprint for row in known}
            added = [_row(findings[name], told[name], build, moment) for name in portion if name not in here]
            self._session.add_all(added)
            await self._session.flush()
            rows += [*known, *added]
            new += added
        await self._link(build, rows, findings)
        await self._unlink(build, rows, scanned.tools, settled)
        await self._count(build, scanned)
        await self._end_fixed(build, scanned.tools, moment)
        await self._end_replaced(build, settled, moment)
        detected += [row for row in new if row.status == VulnerabilityStatus.OPEN]
        await self.tell(sorted(detected, key=lambda row: (-row.severity_rank, row.id))[:TOLD_AT_ONCE], moment)
        return Kept({row.fingerprint: row.id for row in rows}, len(detected), settled.findings)

    async def set_status(self, build_id: UUID, status: ScanStatus) -> None:
        """Write how the scan of a build was judged."""
        await self._session.execute(update(Build).where(Build.id == build_id).values(security_scan_status=status))

    async def tell(self, rows: Sequence[Vulnerability], moment: datetime) -> None:
        """Write the events of new ones, whose rows are locked or new."""
        live = await LiveReleases(self._session).of([row.id for row in rows])
        events = EventWriter(self._session)
        for row in rows:
            row.told_at = moment
        await self._session.flush()
        for row in rows:
            await self._session.refresh(row)
            await events.vulnerability_detected(row, live[row.id], moment)

    async def tell_more(self, limit: int) -> int:
        """Write events of new ones that a large scan left; of each organization no more than `limit`.

        Returns:
            How many.
        """
        of_one = select(
            Vulnerability.id,
            func.row_number()
            .over(partition_by=Vulnerability.organization_id, order_by=Vulnerability.id)
            .label("place"),
        ).where(Vulnerability.told_at.is_(None))
        some = of_one.subquery()
        wanted = select(some.c.id).where(some.c.place <= limit).limit(limit * 10)
        statement = select(Vulnerability).where(Vulnerability.id.in_(wanted), Vulnerability.told_at.is_(None))
        statement = statement.order_by(Vulnerability.id).with_for_update(key_share=True, skip_locked=True)
        rows = list(await self._session.scalars(statement))
        await self.tell(rows, (await self._session.execute(select(func.now()))).scalar_one())
        return len(rows)

    async def _settled(self, project_id: UUID, findings: Sequence[Finding]) -> Settled:
        """The findings under the names by which the project knows them."""
        known = await self._alike(project_id, findings)
        return await asyncio.to_thread(lambda: settled(worst_first(findings), known))

    async def _alike(self, project_id: UUID, findings: Sequence[Finding]) -> list[Known]:
        """Weaknesses of the same packages; what somebody decided about comes first, then the oldest."""
        packages = {one.package for one in findings if one.package and one.kind is FindingKind.DEPENDENCY}
        if not packages:
            return []
        spelled = func.lower(func.regexp_replace(Vulnerability.package, "[-_.]+", "-", "g"))
        names = {storable_value(normal_name(Ecosystem.PYPI, one.name)) for one in packages}
        statement = (
            select(
                Vulnerability.id,
                Vulnerability.fingerprint,
                Vulnerability.ecosystem,
                Vulnerability.package,
                Vulnerability.rule,
                Vulnerability.aliases,
            )
            .where(
                Vulnerability.project_id == project_id,
                Vulnerability.kind == FindingKind.DEPENDENCY,
                spelled.op("=")(func.any(sorted(names))),
            )
            .order_by(
                (func.coalesce(Vulnerability.suppressed_until > func.now(), False)).desc(),
                (Vulnerability.status == VulnerabilityStatus.ACKNOWLEDGED).desc(),
                (Vulnerability.status != VulnerabilityStatus.FIXED).desc(),
                Vulnerability.id,
            )
        )
        return [
            Known(own, fingerprint, ecosystem, package, (rule, *aliases))
            for own, fingerprint, ecosystem, package, rule, aliases in await self._session.execute(statement)
        ]

    async def _known(self, project_id: UUID, fingerprints: Sequence[str]) -> list[Vulnerability]:
        statement = select(Vulnerability).where(
            Vulnerability.project_id == project_id, Vulnerability.fingerprint == func.any(list(fingerprints))
        )
        # In one order: whoever else locks several does it by id, too.
        statement = statement.order_by(Vulnerability.id).with_for_update(key_share=True)
        return list(await self._session.scalars(statement.execution_options(populate_existing=True)))

    @staticmethod
    def _seen(
        row: Vulnerability, finding: Finding, told: Mapping[str, Mapping[str, Any]], build: Build, moment: datetime
    ) -> bool:
        """A known one was found again; whether that is news, since it was fixed in an older build."""
        if RANKS[finding.severity] > row.severity_rank and row.suppressed_until is not None:
            # What was decided of a lesser one holds no more.
            row.suppressed_until = row.suppression_reason = None
            if row.status == VulnerabilityStatus.SUPPRESSED:
                row.status = VulnerabilityStatus.OPEN
        for name, value in told[row.fingerprint].items():
            if getattr(row, name) != value:
                setattr(row, name, value)
        row.last_seen_at = moment
        row.last_build_id = max(row.last_build_id, build.id)  # ids sort by time
        if row.status != VulnerabilityStatus.FIXED or build.build_number < (row.fixed_number or 0):
            return False
        is_suppressed = row.suppressed_until is not None and row.suppressed_until > moment
        row.status = VulnerabilityStatus.SUPPRESSED if is_suppressed else VulnerabilityStatus.OPEN
        row.reopened_at = moment
        row.fixed_at = row.fixed_number = None
        if not is_suppressed:
            row.detected_at, row.told_at = moment, None
        return not is_suppressed

    async def _link(self, build: Build, rows: Sequence[Vulnerability], findings: Mapping[str, Finding]) -> None:
        links = [
            {
                "build_id": build.id,
                "vulnerability_id": row.id,
                "organization_id": build.organization_id,
                **_place(findings[row.fingerprint]),
            }
            for row in rows
        ]
        statement = insert(BuildFinding)
        places = {name: statement.excluded[name] for name in ("package_version", "location_path", "location_line")}
        keys = ["build_id", "vulnerability_id"]
        statement = statement.on_conflict_do_update(index_elements=keys, set_=places)
        for portion in _portions(links):
            await self._session.execute(statement, list(portion))

    async def _unlink(
        self, build: Build, rows: Sequence[Vulnerability], tools: Collection[str], settled: Settled
    ) -> None:
        """What an earlier scan of the same build found, and this one did not, or under another row."""
        of_tools = select(Vulnerability.id).where(
            Vulnerability.project_id == build.project_id,
            or_(Vulnerability.tool == func.any(sorted(tools)), Vulnerability.id == func.any(list(settled.replaced))),
        )
        await self._session.execute(
            delete(BuildFinding).where(
                BuildFinding.build_id == build.id,
                BuildFinding.vulnerability_id != func.all([row.id for row in rows]),
                BuildFinding.vulnerability_id.in_(of_tools),
            )
        )

    async def _count(self, build: Build, scanned: Scanned) -> None:
        statement = (
            select(Vulnerability.severity_rank, func.count())
            .join(BuildFinding, BuildFinding.vulnerability_id == Vulnerability.id)
            .where(BuildFinding.build_id == build.id)
            .group_by(Vulnerability.severity_rank)
        )
        rows = {SEVERITY_OF_RANK[rank]: count for rank, count in await self._session.execute(statement)}
        before = build.vulnerabilities or {}
        cut = before.get("cut", {}) if scanned.cut is None else scanned.cut
        counts: dict[str, Any] = {one: rows.get(one, 0) + cut.get(one, 0) for one in Severity}
        build.vulnerabilities = {
            **counts,
            "cut": {severity: count for severity, count in cut.items() if count},
            "tools": sorted({*before.get("tools", []), *scanned.tools}),
        }
        await self._session.flush()

    async def _end_fixed(self, build: Build, tools: Collection[str], moment: datetime) -> None:
        """What the newest scanned build of the project has no more is fixed."""
        newest = select(func.max(Build.build_number)).where(
            Build.project_id == build.project_id, Build.vulnerabilities.is_not(None)
        )
        if await self._session.scalar(newest) != build.build_number:
            return
        has_it = select(BuildFinding.build_id).where(
            BuildFinding.build_id == build.id, BuildFinding.vulnerability_id == Vulnerability.id
        )
        statement = update(Vulnerability).where(
            Vulnerability.project_id == build.project_id,
            Vulnerability.status != VulnerabilityStatus.FIXED,
            Vulnerability.tool == func.any(sorted(tools)),
            ~has_it.exists(),
        )
        values = {"status": VulnerabilityStatus.FIXED, "fixed_at": moment, "fixed_number": build.build_number}
        await self._session.execute(statement.values(**values))

    async def _end_replaced(self, build: Build, settled: Settled, moment: datetime) -> None:
        """Of two that turned out to be one weakness, one goes on; the other counts no more."""
        statement = update(Vulnerability).where(
            Vulnerability.id == func.any(list(settled.replaced)), Vulnerability.status != VulnerabilityStatus.FIXED
        )
        values = {"status": VulnerabilityStatus.FIXED, "fixed_at": moment, "fixed_number": build.build_number}
        await self._session.execute(statement.values(**values, told_at=func.coalesce(Vulnerability.told_at, moment)))


def _portions(items: Sequence[T]) -> Iterator[Sequence[T]]:
    return (items[start : start + PORTION] for start in range(0, len(items), PORTION))


def _all_told(findings: Sequence[Finding]) -> dict[str, dict[str, Any]]:
    return {one.fingerprint: _told(one) for one in findings}


def _row(finding: Finding, told: Mapping[str, Any], build: Build, moment: datetime) -> Vulnerability:
    return Vulnerability(
        id=new_id(),
        organization_id=build.organization_id,
        project_id=build.project_id,
        fingerprint=finding.fingerprint,
        status=VulnerabilityStatus.OPEN,
        first_build_id=build.id,
        last_build_id=build.id,
        last_seen_at=moment,
        detected_at=moment,
        **told,
    )


def _told(finding: Finding) -> dict[str, Any]:
    """What the scan says of it: strangers' texts, made fit for being kept."""
    package = finding.package
    told: dict[str, Any] = {
        "kind": finding.kind,
        "tool": finding.tool,
        "rule": finding.rule,
        "aliases": list(finding.aliases),
        "severity_rank": RANKS[finding.severity],
        "cvss_score": finding.cvss_score,
        "cvss_vector": finding.cvss_vector,
        "title": shown(finding.title),
        "description": finding.description,
        "ecosystem": package.ecosystem if package else None,
        "package": package.name if package else None,
        "fixed_versions": list(finding.fixed_versions),
        "links": list(finding.links),
        **_place(finding),
    }
    return {name: storable_value(value) for name, value in told.items()}


def _place(finding: Finding) -> dict[str, Any]:
    package, location = finding.package, finding.location
    path = location.path if location else package.path if package else ""
    return {
        "package_version": storable_value(package.version) if package else None,
        "location_path": storable_value(path) or None,
        "location_line": location.line if location else None,
    }
