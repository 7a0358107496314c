"""Findings as scanners make them, and scans of builds as the worker records them."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any
from uuid import UUID

from domain.findings import Ecosystem, Finding, FindingKind, Location, Package, Severity, fingerprint_of
from storage.engine import Sessions, transaction
from storage.repositories.scan_records import Kept, Scanned, ScanRecordRepository

TOOL = "advisories"
RULE = "GHSA-9hjg-9r4m-mvj7"


def finding(
    rule: str = RULE,
    severity: Severity = Severity.HIGH,
    *,
    name: str = "requests",
    version: str = "2.19.0",
    fixed: Sequence[str] = ("2.32.4",),
    **more: Any,
) -> Finding:
    """One of a package."""
    values: dict[str, Any] = {
        "fingerprint": fingerprint_of(FindingKind.DEPENDENCY, rule, "PyPI", name),
        "kind": FindingKind.DEPENDENCY,
        "tool": TOOL,
        "rule": rule,
        "aliases": ("CVE-2024-47081",) if rule == RULE else (),  # two with a name between them are one weakness
        "severity": severity,
        "cvss_score": 7.5,
        "cvss_vector": "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:N/A:N",
        "title": "Credentials leak",
        "description": "A URL may be made so that .netrc is sent elsewhere.",
        "package": Package(ecosystem=Ecosystem.PYPI, name=name, version=version, path="requirements.txt"),
        "fixed_versions": tuple(fixed),
        "links": ("https://nvd.nist.gov/vuln/detail/CVE-2024-47081",),
    }
    return Finding(**{**values, **more})


def code_finding(rule: str = "B602", severity: Severity = Severity.MEDIUM, *, path: str = "app.py") -> Finding:
    """One of the sources."""
    return Finding(
        fingerprint=fingerprint_of(FindingKind.CODE, rule, path),
        kind=FindingKind.CODE,
        tool="bandit",
        rule=rule,
        severity=severity,
        title="subprocess with shell=True",
        location=Location(path=path, line=7),
    )


async def record_scan(
    sessions: Sessions,
    build_id: UUID | str,
    *findings: Finding,
    tools: Collection[str] = (TOOL, "bandit"),
    cut: Mapping[Severity, int] | None = None,
) -> Kept:
    """As the worker does it after a scan."""
    async with transaction(sessions) as session:
        scanned = Scanned(findings, tools, cut or {})
        return await ScanRecordRepository(session).record(UUID(str(build_id)), scanned)
