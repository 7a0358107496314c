"""Findings of packages: which advisories hold for them, one finding for each weakness."""

from collections.abc import Iterable, Sequence
from typing import Final

from domain.advisories.ranges import Installed, UnreadableRangeError, fixes, is_affected
from domain.advisories.record import MAX_ALIASES, Advisory
from domain.advisories.severity import rank, rate
from domain.findings import MAX_DESCRIPTION, Ecosystem, Finding, FindingKind, Kept, Location, Package, fingerprint_of
from domain.package_names import normal_name

TOOL: Final = "advisories"
"""The name of findings and runs of this scanner."""
MAX_FIXES: Final = 10
MAX_TITLE: Final = 512
MAX_NAMED: Final = 20
MAX_PAIRS: Final = 200_000
"""Versions of packages with their advisories that are compared in one go: some seconds. A large service has some
thousand; a lock file that names one package in thousands of versions was made to be slow."""


class Judged(Kept):
    """What advisories say of packages.

    Attributes:
        findings: the worst first.
        unreadable: ids of advisories with ranges that cannot be read, of packages for which nothing else tells.
        incomparable: packages whose version has no order, as `name version`.
        is_cut: there was too much to compare; the packages that were left are not clean.
    """

    findings: tuple[Finding, ...] = ()
    unreadable: tuple[str, ...] = ()
    incomparable: tuple[str, ...] = ()
    is_cut: bool = False

    @property
    def fault(self) -> str | None:
        """Why it is not known of all packages."""
        if not self.is_cut:
            return None
        return (
            "not all packages were compared with advisories: they are too many, or one is there in too many versions "
            f"(more than {MAX_PAIRS} comparisons)"
        )


def judge(found: Iterable[tuple[Package, Sequence[Advisory]]], *, told: bool = False) -> Judged:
    """Findings.

    Args:
        found: packages with what there is of advisories of their names.
        told: whoever gave the advisories has compared versions himself; then all of them hold.
    """
    held: dict[str, list[_Held]] = {}
    unreadable: set[str] = set()
    incomparable: list[str] = []
    pairs = 0
    for package, advisories in found:
        pairs += len(advisories)
        if pairs > MAX_PAIRS:
            break
        version = Installed.of(package.ecosystem, package.version)
        current = [each for each in advisories if not each.withdrawn]
        if current and version.known is None:
            incomparable.append(f"{package.name} {package.version}")
        holding = []
        for each in current:
            try:
                if told or is_affected(version, each):
                    holding.append(each)
            except UnreadableRangeError:
                unreadable.add(each.id)
        for group in grouped(holding):
            one = _Held(package, version, group)
            held.setdefault(one.fingerprint, []).append(one)
    findings = sorted(
        map(_finding, held.values()), key=lambda each: (rank(each.severity), -(each.cvss_score or 0), each.rule)
    )
    return Judged(
        findings=tuple(findings),
        unreadable=tuple(sorted(unreadable)),
        incomparable=tuple(incomparable),
        is_cut=pairs > MAX_PAIRS,
    )


def grouped(advisories: Sequence[Advisory]) -> list[list[Advisory]]:
    """Those of one weakness together: they share a name of it, directly or by others between them."""
    groups: list[tuple[set[str], list[Advisory]]] = []
    for advisory in sorted(advisories, key=lambda each: each.id):
        ids, members = set(advisory.ids), [advisory]
        rest = []
        for group in groups:
            if ids.isdisjoint(group[0]):
                rest.append(group)
            else:
                ids |= group[0]
                members = group[1] + members
        groups = [*rest, (ids, members)]
    return [members for _, members in groups]


def canonical_id(ids: Iterable[str]) -> str:
    """The name under which a weakness is known: its (lowest) CVE, else its first by alphabet."""
    return min(ids, key=lambda each: (not each.startswith("CVE-"), each))


def _fingerprint(name: str, package: Package) -> str:
    return fingerprint_of(FindingKind.DEPENDENCY, name, package.ecosystem, normal_name(package.ecosystem, package.name))


class _Held:
    """A weakness of one package."""

    def __init__(self, package: Package, version: Installed, advisories: Sequence[Advisory]) -> None:
        self.package = package
        self.version = version
        self.advisories = advisories
        self.ids = {each for advisory in advisories for each in advisory.ids}
        self.rule = canonical_id(self.ids)
        self.fingerprint = _fingerprint(self.rule, package)

    @property
    def fixes(self) -> list[str]:
        """Spelled as the package's version is."""
        mark = "v" if self.package.ecosystem is Ecosystem.GO and self.package.version.startswith("v") else ""
        return [f"{mark}{each}" for each in fixes(self.version, self.advisories, MAX_FIXES)]


def _finding(all_held: Sequence[_Held]) -> Finding:
    """Of one weakness of a package, which may be there in several versions; the first one stands for them."""
    first = min(all_held, key=lambda each: (each.package.development, each.package.path, each.package.version))
    advisories = list({each.id: each for held in all_held for each in held.advisories}.values())
    ids = {each for held in all_held for each in held.ids} - {first.rule}
    rated = rate(advisories)
    speaker = _speaker(advisories)
    fixed = dict.fromkeys(each for held in (first, *all_held) for each in held.fixes)
    return Finding(
        fingerprint=first.fingerprint,
        kind=FindingKind.DEPENDENCY,
        tool=TOOL,
        rule=first.rule,
        aliases=tuple(sorted(ids)[:MAX_ALIASES]),
        severity=rated.severity,
        cvss_score=rated.score,
        cvss_vector=rated.vector,
        title=(
            speaker.summary or speaker.details.strip().partition("\n")[0] or f"{first.rule} in {first.package.name}"
        )[:MAX_TITLE],
        description=_described(all_held, speaker),
        package=first.package,
        fixed_versions=tuple(fixed)[:50],
        location=Location(path=first.package.path) if first.package.path else None,
        links=tuple(dict.fromkeys(link for each in (speaker, *advisories) for link in each.links))[:20],
    )


def _described(all_held: Sequence[_Held], speaker: Advisory) -> str:
    places = sorted({(held.package.version, held.package.path) for held in all_held})
    if len(places) == 1:
        return speaker.details
    named = [f"{version} ({path})" if path else version for version, path in places[:MAX_NAMED]]
    more = f" and {len(places) - MAX_NAMED} more" if len(places) > MAX_NAMED else ""
    return f"Versions here: {', '.join(named)}{more}.\n\n{speaker.details}"[:MAX_DESCRIPTION]


def _speaker(advisories: Sequence[Advisory]) -> Advisory:
    """The one with most to say."""
    return max(
        advisories, key=lambda each: (bool(each.summary), each.id.startswith("GHSA-"), len(each.details), each.id)
    )
