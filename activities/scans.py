"""Scan: what is in the workspace after its build is looked through by scanners, written down, and judged."""

import asyncio
import json
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, Final
from uuid import UUID

import structlog
from sqlalchemy.ext.asyncio import AsyncSession

from activities.build_slots import BuildSlots
from activities.failures import translate_errors
from activities.heartbeats import heartbeating
from activities.workspaces import BuildFolders
from contracts.builds import RUN_SCAN, RunScan, ScanOutcome
from contracts.payload import bounded
from contracts.stubs import implements
from domain import scan_policy
from domain.build_documents import MAX_DOCUMENT, DocumentKind
from domain.errors import ErrorCode, TerminalError
from domain.findings import Finding, ScanResult, ToolRun
from domain.same_weakness import less
from domain.sarif import Suppression, sarif_of
from domain.scan_policy import Verdict
from domain.texts import shown
from drivers.scanners.base import SARIF, ScanOrder
from drivers.scanners.registry import Scanners
from storage.engine import Sessions, transaction
from storage.repositories.build_documents import BuildDocumentRepository
from storage.repositories.scan_records import Scanned, ScanRecordRepository

log = structlog.get_logger(__name__)

# Findings that a scan's log names one by one; all of them are at `/builds/{id}/vulnerabilities`.
LOGGED: Final = 200
# Findings that the error of a stopped delivery tells in its details.
DETAILED: Final = 20
NONE_INSTALLED: Final = "no scanner is installed, or the operator lets none run (DELIVERY_SCANNERS)"


class ScanActivities:
    """Runs scanners, in a build slot of the operation."""

    def __init__(self, scanners: Scanners, folders: BuildFolders, slots: BuildSlots, sessions: Sessions) -> None:
        self._scanners = scanners
        self._folders = folders
        self._slots = slots
        self._sessions = sessions

    @implements(RUN_SCAN)
    @translate_errors
    async def run(self, request: RunScan) -> ScanOutcome:
        spec = request.spec
        if not (self._scanners.available or spec.tools or spec.sarif or scan_policy.limits_of(spec)):
            return ScanOutcome(skipped=NONE_INSTALLED)
        organization = self._folders.organization(request.operation_id)
        async with heartbeating(), self._slots.working(request.operation_id, organization):
            found = await self._scan(request, organization)
            result, verdict, ids = await self._keep(request, found)
            await asyncio.to_thread(_write_log, self._folders.log(request.operation_id, "scan"), result, verdict)
        if verdict.stops:
            raise _stopped(result, verdict, ids)
        counts = scan_policy.all_counts(result)
        detail = bounded(scan_policy.told(result, verdict))
        told = {severity.value: count for severity, count in counts.items()}
        return ScanOutcome(status=verdict.status, detail=detail, **told)

    async def _scan(self, request: RunScan, organization: str) -> ScanResult:
        if not (self._scanners.available or request.spec.tools or request.spec.sarif):
            return ScanResult(tools=(ToolRun(tool="scan", fault=NONE_INSTALLED),))
        order = ScanOrder(
            key=f"{request.operation_id}-scan",
            tree=self._folders.inside(request.operation_id, request.source_path),
            root=self._folders.inside(request.operation_id),
            scratch=self._folders.scan(request.operation_id),
            tools=request.spec.tools,
            sarif=request.spec.sarif,
            timeout_s=request.spec.timeout,
            organization=organization,
            project=self._folders.project(request.operation_id),
        )
        return await self._scanners.scan(order)

    async def _keep(self, request: RunScan, result: ScanResult) -> tuple[ScanResult, Verdict, Mapping[str, UUID]]:
        """Written before it is judged: a build that fails shows why. Without a row there is nothing to write to.

        Returns:
            The result with each weakness under the name by which the project knows it, how it is judged, and ids.
        """
        async with transaction(self._sessions) as session:
            documents = BuildDocumentRepository(session)
            build_id = request.build_id or await documents.build_of(request.operation_id)
            records = ScanRecordRepository(session)
            ids: Mapping[str, UUID] = {}
            if build_id is not None:
                kept = await records.record(build_id, self._scanned(request, result))
                result, ids = await asyncio.to_thread(_known_as, result, kept.findings), kept.ids
                document = await asyncio.to_thread(document_of, result)
                await documents.put(build_id, request.organization_id, DocumentKind.SCAN, document)
            suppressed = await records.suppressed(request.project_id)
            verdict = await asyncio.to_thread(scan_policy.judge, result, request.spec, suppressed)
            if build_id is not None:
                await records.set_status(build_id, verdict.status)
                report = await asyncio.to_thread(_sarif, result, suppressed)
                if len(report) <= MAX_DOCUMENT:  # it is for editors and code hosts: the findings themselves are kept
                    await documents.put(build_id, request.organization_id, DocumentKind.SARIF, report)
        return result, verdict, ids

    def _scanned(self, request: RunScan, result: ScanResult) -> Scanned:
        """Tools that had nothing to look at did their work, too: of what they found before nothing is left."""
        faulty = {run.tool for run in result.tools if run.fault is not None}
        asked = request.spec.tools or self._scanners.available
        return Scanned(result.findings, frozenset((*asked, SARIF)) - faulty, scan_policy.cut_of(result))


def document_of(result: ScanResult) -> bytes:
    """A scan as it is kept with its build: without the texts of findings, which are in the rows."""
    short = {"description": "", "links": ()}
    findings = tuple(finding.model_copy(update=short) for finding in result.findings)
    return result.model_copy(update={"findings": findings}).model_dump_json().encode()


def _known_as(result: ScanResult, findings: tuple[Finding, ...]) -> ScanResult:
    found = less(result.found, result.findings, findings)
    return result.model_copy(update={"findings": findings, "found": found})


def _sarif(result: ScanResult, suppressed: Collection[str]) -> bytes:
    left_out = {fingerprint: Suppression() for fingerprint in suppressed}
    return json.dumps(sarif_of(result, left_out), ensure_ascii=False, separators=(",", ":")).encode()


async def stored_scan(session: AsyncSession, build_id: UUID) -> ScanResult | None:
    """The scan that is kept with a build; None: it was never scanned."""
    text = await BuildDocumentRepository(session).get(build_id, DocumentKind.SCAN)
    return None if text is None else await asyncio.to_thread(ScanResult.model_validate_json, text)


def _stopped(result: ScanResult, verdict: Verdict, ids: Mapping[str, UUID]) -> TerminalError:
    named = {fingerprint: str(own) for fingerprint, own in ids.items()}
    if not verdict.violations:
        details = {"faults": list(verdict.unjudged)[:DETAILED]}
        return TerminalError(scan_policy.unjudged(result, verdict), code=ErrorCode.SCAN_FAILED, details=details)
    worst = [(one.severity, finding) for one in verdict.violations for finding in one.worst]
    return TerminalError(
        scan_policy.violated(verdict, named),
        code=ErrorCode.SCAN_POLICY_VIOLATED,
        details={
            "violations": [
                {"severity": one.severity, "limit": one.limit, "found": one.found} for one in verdict.violations
            ],
            "findings": [_detail(finding, named) for _, finding in worst[:DETAILED]],
        },
    )


def _detail(finding: Finding, ids: Mapping[str, str]) -> dict[str, Any]:
    package, location = finding.package, finding.location
    return {
        "vulnerability_id": ids.get(finding.fingerprint),
        "rule": finding.rule,
        "severity": finding.severity,
        "title": finding.title[:200],
        "package": package.name if package else None,
        "version": package.version if package else None,
        "fixed_versions": list(finding.fixed_versions[:5]),
        "path": location.path if location else package.path if package else None,
        "line": location.line if location else None,
    }


def _write_log(path: Path, result: ScanResult, verdict: Verdict) -> None:
    """Behind what an earlier attempt wrote: whoever reads the log keeps their place."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8", errors="replace") as file:
        file.writelines(f"{line}\n" for line in _lines(result, verdict))


def _lines(result: ScanResult, verdict: Verdict) -> Sequence[str]:
    ran = [
        f"{run.tool} {run.version}".rstrip()
        + (f": {run.fault}" if run.fault else f": {run.findings} found")
        + f" ({run.duration_ms} ms)"
        for run in result.tools
    ]
    worst = scan_policy.worst_first(result.findings)
    found = [f"{one.severity}: {scan_policy.named(one)}: {one.title[:200]}" for one in worst[:LOGGED]]
    more = [f"and {len(worst) - LOGGED} more"] if len(worst) > LOGGED else []
    told = scan_policy.told(result, verdict)
    # Titles and names of files are strangers' words, and this is read on terminals.
    return [shown(" ".join(line.split())) for line in (*ran, *found, *more, f"{verdict.status}: {told}")]
