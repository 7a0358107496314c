"""The scan step on the real database: what is found is written down, then judged; what did not run is no pass."""

import asyncio
import json
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from uuid import UUID

import pytest
from sqlalchemy import select, update
from temporalio.exceptions import ApplicationError
from temporalio.testing import ActivityEnvironment

from activities.build_slots import BuildSlots
from activities.scans import ScanActivities, stored_scan
from activities.workspaces import BuildFolders
from contracts.builds import RunScan, ScanOutcome
from domain.build_documents import DocumentKind
from domain.delivery_spec import ScanSpec
from domain.findings import Finding, Severity
from drivers.scanners import registry
from drivers.scanners.base import Report, Scanner, ScannerFaultError, Sources
from drivers.scanners.registry import Scanners
from runtime.ids import new_id, now
from storage.engine import Sessions, transaction
from storage.models import Build, Event, Vulnerability
from storage.repositories.build_documents import BuildDocumentRepository
from tests.activities.test_build_records import made
from tests.support.findings import code_finding, finding

RULE = "GHSA-9hjg-9r4m-mvj7"
SEVERE = ScanSpec(max_critical=0, max_high=0)


@dataclass
class Told:
    """A scanner that says what it is told to."""

    findings: tuple[Finding, ...] = ()
    fault: str | None = None
    name: str = "advisories"
    suited: bool = True
    hangs: bool = False
    scanned: list[str] = field(default_factory=list)
    began: asyncio.Event = field(default_factory=asyncio.Event)

    def suits(self, sources: Sources) -> bool:
        return self.suited

    async def scan(self, sources: Sources, *, timeout_s: float) -> Report:
        self.scanned += sources.files
        self.began.set()
        if self.hangs:
            await asyncio.sleep(3600)
        if self.fault:
            raise ScannerFaultError(self.fault)
        packages = tuple(one.package for one in self.findings if one.package)
        return Report(findings=self.findings, packages=packages, version="1", advisories_as_of="2026-01-01T00:00:00Z")


@dataclass
class World:
    """An operation with a workspace and a build that is under way."""

    sessions: Sessions
    folders: BuildFolders
    operation_id: UUID
    build: Build

    def activities(self, *scanners: Scanner) -> ScanActivities:
        return ScanActivities(Scanners(scanners), self.folders, BuildSlots(1), self.sessions)

    async def scan(self, *scanners: Scanner, spec: ScanSpec | None = None) -> ScanOutcome:
        request = RunScan(
            operation_id=self.operation_id,
            organization_id=self.build.organization_id,
            project_id=self.build.project_id,
            source_path=".",
            spec=spec or ScanSpec(),
        )
        return await ActivityEnvironment().run(self.activities(*scanners).run, request)

    async def row(self) -> Build:
        async with transaction(self.sessions) as session:
            return await session.get_one(Build, self.build.id)

    @property
    def log(self) -> str:
        return self.folders.log(self.operation_id, "scan").read_text()


@pytest.fixture
async def world(sessions: Sessions, tmp_path: Path) -> World:
    build_id, operation = await made(sessions), new_id()
    async with transaction(sessions) as session:
        row = await session.get_one(Build, build_id)
        row.operation_id, row.status = operation, "running"
    folders = BuildFolders(tmp_path)
    folders.make(operation, str(row.organization_id), str(row.project_id))
    (folders.tree(operation) / "app.py").write_text("print(1)\n")
    return World(sessions, folders, operation, row)


async def test_what_is_found_is_counted_kept_and_logged(world):
    tool = Told((finding(), code_finding()))
    outcome = await world.scan(tool)
    assert (outcome.status, outcome.high, outcome.medium, outcome.skipped) == ("warnings", 1, 1, None)
    assert tool.scanned == ["app.py"]
    build = await world.row()
    assert build.security_scan_status == "warnings"
    assert build.vulnerabilities["high"] == 1
    async with transaction(world.sessions) as session:
        kept = await stored_scan(session, build.id)
        sarif = json.loads(await BuildDocumentRepository(session).get(build.id, DocumentKind.SARIF))
    assert [package.name for package in kept.packages] == ["requests"]
    assert [one.description for one in kept.findings] == ["", ""]
    assert sarif["version"] == "2.1.0"
    assert {result["ruleId"] for run in sarif["runs"] for result in run["results"]} == {RULE, "B602"}
    assert f"high: {RULE} in requests 2.19.0 (fixed in 2.32.4)" in world.log
    assert "warnings: advisories found 1 high, 1 medium; advisories as of 2026" in outcome.detail or world.log


async def test_a_limit_stops_the_delivery_naming_the_finding_and_the_failed_build_shows_it(world):
    with pytest.raises(ApplicationError) as caught:
        await world.scan(Told((finding(), code_finding())), spec=SEVERE)
    fault = caught.value
    assert (fault.type, fault.non_retryable) == ("SCAN_POLICY_VIOLATED", True)
    async with transaction(world.sessions) as session:
        row = await session.scalar(select(Vulnerability).where(Vulnerability.rule == RULE, *_of(world)))
    for words in (f"{RULE} in requests 2.19.0 (fixed in 2.32.4)", str(row.id), "PATCH /vulnerabilities", "max_high"):
        assert words in fault.message
    [details] = fault.details
    assert details["violations"] == [{"severity": "high", "limit": 0, "found": 1}]
    assert details["findings"][0]["vulnerability_id"] == str(row.id)
    build = await world.row()
    assert (build.security_scan_status, build.vulnerabilities["high"]) == ("failed", 1)


async def test_what_is_suppressed_does_not_stop_it_until_that_is_over(world):
    with pytest.raises(ApplicationError):
        await world.scan(Told((finding(),)), spec=SEVERE)
    await suppress(world, now() + timedelta(days=1))
    outcome = await world.scan(Told((finding(),)), spec=SEVERE)
    assert (outcome.status, outcome.high) == ("passed", 1)
    assert "1 suppressed" in outcome.detail
    await suppress(world, now() - timedelta(seconds=1))
    with pytest.raises(ApplicationError):
        await world.scan(Told((finding(),)), spec=SEVERE)


async def test_a_suppression_holds_for_the_cve_that_becomes_known_later(world):
    early = finding("PYSEC-2026-1", aliases=("GHSA-1",))
    with pytest.raises(ApplicationError):
        await world.scan(Told((early,)), spec=SEVERE)
    await suppress(world, now() + timedelta(days=1))
    late = finding("CVE-2026-7", aliases=("GHSA-1", "PYSEC-2026-1"))
    outcome = await world.scan(Told((late,)), spec=SEVERE)
    assert (outcome.status, outcome.high) == ("passed", 1)
    async with transaction(world.sessions) as session:
        kept = await stored_scan(session, world.build.id)
        sarif = json.loads(await BuildDocumentRepository(session).get(world.build.id, DocumentKind.SARIF))
    assert [one.fingerprint for one in kept.findings] == [early.fingerprint]
    assert [result["suppressions"][0]["kind"] for run in sarif["runs"] for result in run["results"]] == ["external"]


async def test_two_scanners_with_two_names_of_one_weakness_count_once(world):
    first, second = finding("CVE-2026-7", aliases=()), finding("GHSA-1", aliases=("CVE-2026-7",), tool="grype")
    outcome = await world.scan(Told((first,)), Told((second,), name="grype"), spec=ScanSpec(max_high=1))
    assert outcome.high == 1


async def suppress(world: World, until) -> None:
    async with transaction(world.sessions) as session:
        statement = update(Vulnerability).where(*_of(world)).values(status="suppressed", suppressed_until=until)
        await session.execute(statement)


def _of(world: World) -> list:
    return [Vulnerability.project_id == world.build.project_id]


async def test_what_has_no_fixed_version_may_be_ignored_and_that_is_said(world):
    spec = ScanSpec(max_high=0, unfixed="ignore")
    outcome = await world.scan(Told((finding(fixed=()),)), spec=spec)
    assert outcome.status == "passed"
    assert "1 without a fixed version ignored" in outcome.detail
    with pytest.raises(ApplicationError):
        await world.scan(Told((finding(fixed=()),)), spec=SEVERE)


async def test_a_tool_without_a_result_is_no_pass(world):
    outcome = await world.scan(Told(fault="crashed"), Told(name="bandit"))
    assert outcome.status == "warnings"
    assert "not scanned: advisories: it crashed" in outcome.detail
    with pytest.raises(ApplicationError) as caught:
        await world.scan(Told(fault="crashed"), Told(name="bandit"), spec=SEVERE)
    assert caught.value.type == "SCAN_FAILED"
    assert "advisories: it crashed" in caught.value.message
    assert (await world.row()).security_scan_status == "failed"


async def test_who_limits_code_alone_is_told_the_way_on_without_advisories(world):
    broken, good = Told(fault="has no advisories: a\x1b[31mb/x.lock"), Told((code_finding(),), name="bandit")
    with pytest.raises(ApplicationError) as caught:
        await world.scan(broken, good, spec=ScanSpec(max_critical=0))
    for words in ("scan.tools", "here did their work: bandit", "take the limits of scan out", "operator"):
        assert words in caught.value.message
    assert "\x1b" not in caught.value.message + world.log
    outcome = await world.scan(broken, good, spec=ScanSpec(max_critical=0, tools=("bandit",)))
    assert outcome.status == "passed"
    assert "scan.tools leaves out: advisories" in outcome.detail
    outcome = await world.scan(broken, good)
    assert "\x1b" not in outcome.detail


async def test_without_a_scanner_it_is_skipped_unless_something_is_asked_of_it(world):
    assert "no scanner is installed" in (await world.scan()).skipped
    with pytest.raises(ApplicationError, match="no scanner is installed"):
        await world.scan(spec=SEVERE)
    with pytest.raises(ApplicationError, match="names 'trivy'"):
        await world.scan(spec=ScanSpec(tools=("trivy",)))


async def test_a_tool_that_had_nothing_to_look_at_says_what_it_found_before_is_gone(world):
    await world.scan(Told((finding(),)))
    await world.scan(Told(suited=False))
    async with transaction(world.sessions) as session:
        row = await session.scalar(select(Vulnerability).where(*_of(world)))
    assert row.status == "fixed"


async def test_a_repeated_activity_tells_nothing_twice(world):
    for _ in range(3):
        await world.scan(Told((finding(), code_finding())))
    async with transaction(world.sessions) as session:
        of_project = (Event.project_id == world.build.project_id, Event.type == "vulnerability.detected")
        assert len(list(await session.scalars(select(Event).where(*of_project)))) == 2


async def test_a_build_without_a_row_is_judged_all_the_same(world):
    """Its version is another build's: it fails when it is recorded, and has nothing that could be written to."""
    async with transaction(world.sessions) as session:
        await session.execute(update(Build).where(Build.id == world.build.id).values(operation_id=None))
    assert (await world.scan(Told((finding(),)))).high == 1
    with pytest.raises(ApplicationError) as caught:
        await world.scan(Told((finding(),)), spec=SEVERE)
    assert "None" not in caught.value.message


async def test_the_worst_findings_are_kept_and_all_are_counted(world, monkeypatch):
    monkeypatch.setattr(registry, "MAX_FINDINGS", 250)
    many = tuple(finding(f"GHSA-{n:06}", Severity.LOW, name=f"p{n}") for n in range(300))
    outcome = await world.scan(Told((*many, finding(severity=Severity.CRITICAL))))
    assert (outcome.critical, outcome.low) == (1, 300)
    assert "only the worst 250 are kept" in outcome.detail
    build = await world.row()
    assert (build.vulnerabilities["critical"], build.vulnerabilities["low"]) == (1, 300)
    async with transaction(world.sessions) as session:
        assert len(list(await session.scalars(select(Vulnerability.id).where(*_of(world))))) == 250
    assert len(world.log.splitlines()) < 210
    with pytest.raises(ApplicationError, match="300 low"):
        await world.scan(Told(many), spec=ScanSpec(max_low=299))


async def test_it_can_be_cancelled(world):
    environment = ActivityEnvironment()
    request = RunScan(
        operation_id=world.operation_id,
        organization_id=world.build.organization_id,
        project_id=world.build.project_id,
        source_path=".",
        spec=ScanSpec(),
    )
    tool = Told(hangs=True)
    running = asyncio.create_task(environment.run(world.activities(tool).run, request))
    async with asyncio.timeout(120):
        await tool.began.wait()
    environment.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
