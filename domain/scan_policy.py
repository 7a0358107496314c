"""What of a scan stops a delivery: limits of `scan` in delivery.yaml, compared with what was found. Pure."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from domain.delivery_spec import ScanSpec
from domain.findings import Finding, ScanResult, Severity, counts_of
from domain.lifecycle import ScanStatus
from domain.texts import shown
from domain.vulnerabilities import RANKS

MAX_NAMED: Final = 5
MAX_WORD: Final = 200
# What has no score that could be read counts as this one: it must not pass because nobody rated it.
UNKNOWN_AS: Final = Severity.MEDIUM
LIMITED: Final = (Severity.CRITICAL, Severity.HIGH, Severity.MEDIUM, Severity.LOW)
# An open one of these makes `warnings` of `passed`.
WARNED: Final = frozenset({Severity.CRITICAL, Severity.HIGH, Severity.UNKNOWN})


@dataclass(frozen=True)
class Violation:
    """More findings of a severity than its limit allows."""

    severity: Severity
    limit: int
    found: int
    worst: tuple[Finding, ...]


@dataclass(frozen=True)
class Verdict:
    """What becomes of a delivery. `unjudged`: why limits that are set could not be judged; then it stops, too.

    `open`: what counts, by severity. `suppressed`, `unfixed`: how many were left out, and why.
    """

    violations: tuple[Violation, ...]
    unjudged: tuple[str, ...]
    faults: tuple[str, ...]
    open: Mapping[Severity, int]
    suppressed: int = 0
    unfixed: int = 0

    @property
    def stops(self) -> bool:
        """Whether the delivery ends here."""
        return bool(self.violations or self.unjudged)

    @property
    def status(self) -> ScanStatus:
        """As the contract says it."""
        if self.stops:
            return ScanStatus.FAILED
        if self.faults or any(self.open[severity] for severity in WARNED):
            return ScanStatus.WARNINGS
        return ScanStatus.PASSED


def judge(result: ScanResult, spec: ScanSpec, suppressed: Collection[str]) -> Verdict:
    """Compare findings with limits.

    Args:
        result: of the scan.
        spec: the limits; None is no limit.
        suppressed: fingerprints of those that people left out, for now.
    """
    kept = [finding for finding in result.findings if finding.fingerprint not in suppressed]
    counted = [finding for finding in kept if spec.unfixed == "count" or finding.fixable]
    faults = faults_of(result)
    limits = limits_of(spec)
    cut = cut_of(result)
    return Verdict(
        violations=tuple(_violations(counted, limits, cut)),
        unjudged=faults if limits else (),
        faults=faults,
        open=counts_of(finding.severity for finding in counted),
        suppressed=len(result.findings) - len(kept),
        unfixed=len(kept) - len(counted),
    )


def cut_of(result: ScanResult) -> dict[Severity, int]:
    """Findings beyond those that are kept, by severity: nobody could look at them, so they count."""
    kept = counts_of(finding.severity for finding in result.findings)
    cut = {severity: max(0, count - kept[severity]) for severity, count in result.found.items()}
    unknown = cut.pop(Severity.UNKNOWN, 0)
    return {**cut, UNKNOWN_AS: cut.get(UNKNOWN_AS, 0) + unknown}


def all_counts(result: ScanResult) -> dict[Severity, int]:
    """How many of each severity were found, also of those that are not kept."""
    kept = counts_of(finding.severity for finding in result.findings)
    return {severity: max(count, result.found.get(severity, 0)) for severity, count in kept.items()}


def faults_of(result: ScanResult) -> tuple[str, ...]:
    """What did not do its work: a tool with a fault, or packages that nobody compared with advisories."""
    faults = tuple(f"{run.tool}: {run.fault}" for run in result.tools if run.fault is not None)
    if result.packages and result.advisories_as_of is None and not faults:
        return (f"{len(result.packages)} packages were not compared with any advisories (docs/advisories.md)",)
    return faults


def limits_of(spec: ScanSpec) -> dict[Severity, int]:
    """The limits that are set."""
    found = {severity: getattr(spec, f"max_{severity}") for severity in LIMITED}
    return {severity: limit for severity, limit in found.items() if limit is not None}


def _violations(
    counted: Sequence[Finding], limits: Mapping[Severity, int], cut: Mapping[Severity, int]
) -> list[Violation]:
    by_severity: dict[Severity, list[Finding]] = {severity: [] for severity in LIMITED}
    for finding in counted:
        by_severity[UNKNOWN_AS if finding.severity is Severity.UNKNOWN else finding.severity].append(finding)
    return [
        Violation(severity, limit, count, tuple(worst_first(by_severity[severity])[:MAX_NAMED]))
        for severity, limit in limits.items()
        if (count := len(by_severity[severity]) + cut.get(severity, 0)) > limit
    ]


def worst_first(findings: Collection[Finding]) -> list[Finding]:
    """By severity, then by score; of the same ones what can be mended comes first. The order is always the same."""
    return sorted(
        findings,
        key=lambda one: (-RANKS[one.severity], -(one.cvss_score or 0.0), not one.fixable, one.rule, one.fingerprint),
    )


def named(finding: Finding) -> str:
    """One finding in few words: its id, where it is, what mends it."""
    words = finding.rule
    if finding.package is not None:
        words += f" in {finding.package.name} {finding.package.version}"
        fixed = finding.fixed_versions
        words += f" (fixed in {' or '.join(fixed[:3])})" if fixed else " (no fixed version yet)"
    elif finding.location is not None:
        line = f":{finding.location.line}" if finding.location.line else ""
        words += f" in {finding.location.path}{line}"
    words = shown(words[:MAX_WORD])  # strangers' words, on people's terminals
    return words if len(words) < MAX_WORD else f"{words[: MAX_WORD - 1]}…"


def violated(verdict: Verdict, ids: Mapping[str, str]) -> str:
    """Why a delivery stops, and what to do. `ids`: of vulnerabilities, by fingerprint."""
    parts = []
    for one in verdict.violations:
        names = [_with_id(finding, ids) for finding in one.worst]
        more = one.found - len(names)
        listed = ", ".join(names) + (f" and {more} more" if more else "")
        parts.append(f"{one.found} {one.severity}, where scan.max_{one.severity} allows {one.limit}: {listed}")
    return (
        f"the scan found {'; '.join(parts)}. Mend them (packages: update the lock file), or suppress those that do "
        "not matter, with a reason and an end: PATCH /vulnerabilities/{id}; "
        "GET /builds/{id}/vulnerabilities lists all of them"
    )


def unjudged(result: ScanResult, verdict: Verdict) -> str:
    """Why a delivery stops though nothing was found, and what to do: also for those who are not the operator."""
    good = [run.tool for run in result.tools if run.fault is None]
    others = f"name in scan.tools those whose word suffices (here did their work: {', '.join(good)})" if good else ""
    ways = ["deliver again when it works", others, "take the limits of scan out of delivery.yaml"]
    return (
        "delivery.yaml limits what a scan may find, and that could not be judged, since a scanner did not do its work: "
        f"{_line('; '.join(verdict.unjudged))[:2000]}. What can be done: {'; or '.join(filter(None, ways))}. "
        "What concerns the engine (scanners, advisories, DELIVERY_...) its operator can mend"
    )


def told(result: ScanResult, verdict: Verdict) -> str:
    """The outcome in one line for people."""
    ran = [run.tool for run in result.tools if run.fault is None]
    found = ", ".join(f"{count} {severity}" for severity, count in all_counts(result).items() if count) or "nothing"
    parts = [f"{', '.join(ran)} found {found}" if ran else "no scanner had anything to look at"]
    if verdict.suppressed:
        parts.append(f"{verdict.suppressed} suppressed")
    if verdict.unfixed:
        parts.append(f"{verdict.unfixed} without a fixed version ignored (scan.unfixed)")
    if verdict.faults:
        parts.append(f"not scanned: {'; '.join(verdict.faults)}")
    if result.advisories_as_of is not None:
        parts.append(f"advisories as of {result.advisories_as_of}")
    return _line("; ".join([*parts, *result.notices])[:4000])


def _line(words: str) -> str:
    """Of files' names and other words of strangers, on people's terminals."""
    return shown(" ".join(words.split()))


def _with_id(finding: Finding, ids: Mapping[str, str]) -> str:
    own = ids.get(finding.fingerprint)
    return f"{named(finding)} [vulnerability {own}]" if own else named(finding)
