"""A scan as SARIF 2.1.0 (https://docs.oasis-open.org/sarif/sarif/v2.1.0/), which code hosts and editors read."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote

from domain.findings import Finding, ScanResult, Severity, ToolRun

SCHEMA: Final = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
# Our fingerprints; a change of what they are made of is a new name.
FINGERPRINT: Final = "delivery/v1"
_ROOT = "%SRCROOT%"
_LEVELS: Final = {
    Severity.CRITICAL: "error",
    Severity.HIGH: "error",
    Severity.MEDIUM: "warning",
    Severity.LOW: "note",
    Severity.UNKNOWN: "warning",
}
# `security-severity` is a number as CVSS has it; where there is no score, the middle of the level's range.
_SCORES: Final = {Severity.CRITICAL: 9.5, Severity.HIGH: 8.0, Severity.MEDIUM: 5.5, Severity.LOW: 2.0}
_WORST: Final = tuple(Severity)


@dataclass(frozen=True)
class Suppression:
    """Somebody's word that a finding needs nothing done. `justification` as it was given."""

    justification: str = ""


def sarif_of(result: ScanResult, suppressed: Mapping[str, Suppression] | None = None) -> dict[str, Any]:
    """The scan as a document: one run for each tool.

    Args:
        result: the scan.
        suppressed: what is suppressed, by fingerprint.
    """
    by_tool: dict[str, list[Finding]] = {run.tool: [] for run in result.tools}
    for finding in result.findings:
        by_tool.setdefault(finding.tool, []).append(finding)
    runs = {run.tool: run for run in result.tools}
    known = suppressed or {}
    documents = [_run(tool, found, runs.get(tool), known) for tool, found in by_tool.items()]
    if result.notices:
        documents.append(_notices(result.notices))
    return {"$schema": SCHEMA, "version": "2.1.0", "runs": documents}


def _run(
    tool: str, findings: Iterable[Finding], run: ToolRun | None, suppressed: Mapping[str, Suppression]
) -> dict[str, Any]:
    rules: dict[str, list[Finding]] = {}
    for finding in findings:
        rules.setdefault(finding.rule, []).append(finding)
    index = {rule: place for place, rule in enumerate(rules)}
    driver: dict[str, Any] = {"name": tool, "rules": [_rule(rule, found) for rule, found in rules.items()]}
    if run and run.version:
        driver["version"] = run.version
    results = [
        _result(finding, index[finding.rule], suppressed.get(finding.fingerprint))
        for found in rules.values()
        for finding in found
    ]
    document: dict[str, Any] = {"tool": {"driver": driver}, "results": results}
    if run:
        told = [_notification("error", run.fault)] if run.fault else []
        document["invocations"] = [{"executionSuccessful": run.fault is None, "toolExecutionNotifications": told}]
    return document


def _notices(notices: Iterable[str]) -> dict[str, Any]:
    told = [_notification("note", words) for words in notices]
    return {
        "tool": {"driver": {"name": "delivery-engine"}},
        "invocations": [{"executionSuccessful": True, "toolExecutionNotifications": told}],
        "results": [],
    }


def _notification(level: str, words: str) -> dict[str, Any]:
    return {"level": level, "message": {"text": words}}


def _rule(rule: str, found: list[Finding]) -> dict[str, Any]:
    worst = min((finding.severity for finding in found), key=_WORST.index)
    scores = [score for finding in found if (score := _score(finding)) is not None]
    first = found[0]
    properties: dict[str, Any] = {"tags": ["security", first.kind.value]}
    if scores:
        properties["security-severity"] = f"{max(scores):.1f}"
    document: dict[str, Any] = {
        "id": rule,
        "shortDescription": {"text": first.title},
        "defaultConfiguration": {"level": _LEVELS[worst]},
        "properties": properties,
    }
    if first.description:
        document["fullDescription"] = {"text": first.description}
    if first.links:
        document["helpUri"] = quote(first.links[0], safe="!#$%&'()*+,/:;=?@[]~-._")
    return document


def _score(finding: Finding) -> float | None:
    return finding.cvss_score if finding.cvss_score is not None else _SCORES.get(finding.severity)


def _result(finding: Finding, index: int, suppression: Suppression | None) -> dict[str, Any]:
    document: dict[str, Any] = {
        "ruleId": finding.rule,
        "ruleIndex": index,
        "level": _LEVELS[finding.severity],
        "message": {"text": _message(finding)},
        "partialFingerprints": {FINGERPRINT: finding.fingerprint},
        "properties": _properties(finding),
    }
    if place := _place(finding):
        document["locations"] = [{"physicalLocation": place}]
    if suppression:
        document["suppressions"] = [
            {"kind": "external", "status": "accepted", "justification": suppression.justification}
        ]
    return document


def _message(finding: Finding) -> str:
    package = finding.package
    if package is None:
        return finding.title
    fixed = ", ".join(finding.fixed_versions)
    remedy = f"fixed in {fixed}" if fixed else "no version is known that fixes it"
    return f"{package.name} {package.version}: {finding.title} ({remedy})"


def _place(finding: Finding) -> dict[str, Any] | None:
    path = finding.location.path if finding.location else finding.package.path if finding.package else ""
    if not path:
        return None
    place: dict[str, Any] = {"artifactLocation": {"uri": quote(path, errors="replace"), "uriBaseId": _ROOT}}
    if finding.location and (finding.location.line or 0) > 0:
        place["region"] = {"startLine": finding.location.line}
    return place


def _properties(finding: Finding) -> dict[str, Any]:
    properties: dict[str, Any] = {"kind": finding.kind.value, "severity": finding.severity.value}
    if finding.aliases:
        properties["aliases"] = list(finding.aliases)
    if finding.cvss_vector:
        properties["cvss"] = finding.cvss_vector
    if finding.package:
        package = finding.package
        properties["package"] = {"ecosystem": package.ecosystem, "name": package.name, "version": package.version}
        properties["fixedVersions"] = list(finding.fixed_versions)
    return properties
