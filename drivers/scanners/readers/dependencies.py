"""What osv-scanner, grype and trivy say of dependencies, and trivy of configuration besides."""

from typing import Any, Final
from urllib.parse import unquote

from domain.findings import Ecosystem, FindingKind, Package, Severity
from drivers.scanners.base import Report
from drivers.scanners.reading import Findings, Found, Unreadable, by_words, load, member, number, objects, report, text

_LEVELS: Final = {
    "critical": Severity.CRITICAL,
    "high": Severity.HIGH,
    "medium": Severity.MEDIUM,
    "moderate": Severity.MEDIUM,
    "low": Severity.LOW,
    "negligible": Severity.LOW,
}
# Their words for where packages come from.
_ECOSYSTEMS: Final = {
    "pypi": Ecosystem.PYPI,
    "python": Ecosystem.PYPI,
    "pip": Ecosystem.PYPI,
    "pipenv": Ecosystem.PYPI,
    "poetry": Ecosystem.PYPI,
    "uv": Ecosystem.PYPI,
    "python-pkg": Ecosystem.PYPI,
    "npm": Ecosystem.NPM,
    "yarn": Ecosystem.NPM,
    "pnpm": Ecosystem.NPM,
    "node-pkg": Ecosystem.NPM,
    "go": Ecosystem.GO,
    "go-module": Ecosystem.GO,
    "gomod": Ecosystem.GO,
    "gobinary": Ecosystem.GO,
    "maven": Ecosystem.MAVEN,
    "java-archive": Ecosystem.MAVEN,
    "pom": Ecosystem.MAVEN,
    "jar": Ecosystem.MAVEN,
    "gradle": Ecosystem.MAVEN,
    "gradle-lockfile": Ecosystem.MAVEN,
}
_UNVERSIONED: Final = "[not provided]"  # grype, where somebody built it themselves
_MAVEN_PARTS: Final = 3
_SCORES: Final = ((9.0, Severity.CRITICAL), (7.0, Severity.HIGH), (4.0, Severity.MEDIUM), (0.1, Severity.LOW))


def read_osv_scanner(output: str, tree: str, seen_at: str) -> Report:
    """Its groups are weaknesses: one advisory in several databases."""

    def read() -> Report:
        told = load(output)
        findings = Findings("osv-scanner", tree, (seen_at,))
        others = 0
        for source in objects(_results(told), "results"):
            path = findings.inside(text(member(source, "source", "path"), 1024)) or ""
            for entry in objects(source.get("packages") or [], "packages"):
                package = _package(
                    member(entry, "package", "ecosystem"),
                    member(entry, "package", "name"),
                    member(entry, "package", "version"),
                    path,
                )
                if package is None:
                    others += 1
                    continue
                for found in _of_groups(entry, package):
                    findings.add(found)
        return findings.report(notices=_others("osv-scanner", others))

    return report(read)


def _of_groups(entry: dict[str, Any], package: Package) -> list[Found]:
    advisories = {text(each.get("id"), 128): each for each in objects(entry.get("vulnerabilities") or [], "advisories")}
    found: list[Found] = []
    for group in objects(entry.get("groups") or [], "groups"):
        ids = [text(each, 128) for each in _list(group.get("ids"))]
        names = [text(each, 128) for each in _list(group.get("aliases"))]
        advisory = advisories.get(ids[0], {}) if ids else {}
        if not ids:
            continue
        score = _number(group.get("max_severity"))
        references = [member(each, "url") for each in _list(advisory.get("references"))]
        said = member(advisory, "database_specific", "severity")
        found.append(
            Found(
                kind=FindingKind.DEPENDENCY,
                rule=ids[0],
                severity=_of_score(score) if score else by_words(_LEVELS, said, Severity.UNKNOWN),
                title=text(advisory.get("summary"), 512) or ids[0],
                description=text(advisory.get("details"), 4096),
                path=package.path,
                links=tuple(references),
                package=package,
                aliases=tuple(name for name in dict.fromkeys((*ids[1:], *names)) if name != ids[0]),
                fixed=_fixed(advisory, package),
                score=score,
                vector=_vector(advisory),
            )
        )
    return found


def _fixed(advisory: dict[str, Any], package: Package) -> tuple[str, ...]:
    """The versions that end a range, of the affected package alone."""
    versions: dict[str, None] = {}
    for affected in _list(advisory.get("affected"))[:200]:
        if member(affected, "package", "name") != package.name:
            continue
        for ranged in _list(member(affected, "ranges"))[:200]:
            if member(ranged, "type") == "GIT":
                continue
            for event in _list(member(ranged, "events"))[:200]:
                if fixed := text(member(event, "fixed"), 256):
                    versions[fixed] = None
    return tuple(versions)


def _vector(advisory: dict[str, Any]) -> str | None:
    for each in _list(advisory.get("severity")):
        score = text(member(each, "score"), 256)
        if score.startswith("CVSS:3"):
            return score
    return None


def read_grype(output: str, tree: str, seen_at: str) -> Report:
    """One match for each weakness of a package."""

    def read() -> Report:
        told = load(output)
        findings = Findings("grype", tree, (seen_at,))
        others = 0
        for match in objects(member(told, "matches"), "matches"):
            artifact, known = match.get("artifact"), match.get("vulnerability")
            places = _list(member(artifact, "locations"))
            path = findings.inside(text(member(places[0], "path"), 1024).lstrip("/")) if places else ""
            package = _package(
                member(artifact, "type"), _name_of_grype(artifact), member(artifact, "version"), path or ""
            )
            if package is None:
                others += 1
                continue
            scores = [
                (score, text(member(each, "vector"), 256) or None)
                for each in _list(member(known, "cvss"))
                if (score := _number(member(each, "metrics", "baseScore")))
            ]
            score, vector = max(scores, key=lambda one: one[0], default=(None, None))
            urls = [member(known, "dataSource"), *_list(member(known, "urls"))]
            findings.add(
                Found(
                    kind=FindingKind.DEPENDENCY,
                    rule=text(member(known, "id"), 128),
                    severity=by_words(_LEVELS, member(known, "severity"), Severity.UNKNOWN),
                    title=text(member(known, "description"), 512) or text(member(known, "id"), 128),
                    path=package.path,
                    links=tuple(urls),
                    package=package,
                    aliases=tuple(
                        text(member(each, "id"), 128)
                        for each in _list(match.get("relatedVulnerabilities"))
                        if member(each, "id") != member(known, "id")
                    ),
                    fixed=tuple(text(each, 256) for each in _list(member(known, "fix", "versions"))),
                    score=score,
                    vector=vector,
                )
            )
        version = text(member(told, "descriptor", "version"), 64)
        found = findings.report("" if version == _UNVERSIONED else version, notices=_others("grype", others))
        as_of = text(member(told, "descriptor", "db", "status", "built"), 64) or None
        return found.model_copy(update={"advisories_as_of": as_of})

    return report(read)


def _name_of_grype(artifact: Any) -> str:
    """As its ecosystem has it: the group of a Maven package is in its package URL alone."""
    name = text(member(artifact, "name"), 512)
    parts = text(member(artifact, "purl"), 1024).partition("@")[0].split("/")
    maven = len(parts) == _MAVEN_PARTS and parts[0] == "pkg:maven"
    return f"{unquote(parts[1])}:{unquote(parts[2])}" if maven else name


def read_trivy(output: str, tree: str, seen_at: str) -> Report:
    """Its secrets are not asked for: they would come with the line they are in."""

    def read() -> Report:
        told = load(output)
        findings = Findings("trivy", tree, (seen_at,))
        others = 0
        if member(told, "SchemaVersion") is None:
            raise Unreadable("wrote a result without a version of its schema")
        for result in objects(member(told, "Results") or [], "results"):
            path = findings.inside(text(result.get("Target"), 1024)) or ""
            for each in objects(result.get("Vulnerabilities") or [], "vulnerabilities"):
                package = _package(result.get("Type"), each.get("PkgName"), each.get("InstalledVersion"), path)
                if package is None:
                    others += 1
                    continue
                findings.add(_of_trivy(each, package))
            for each in objects(result.get("Misconfigurations") or [], "misconfigurations"):
                if each.get("Status") == "FAIL":
                    findings.add(_misconfigured(each, path))
        return findings.report(notices=_others("trivy", others))

    return report(read)


def _of_trivy(each: dict[str, Any], package: Package) -> Found:
    cvss = each.get("CVSS")
    scores = [each for each in (cvss.values() if isinstance(cvss, dict) else ()) if isinstance(each, dict)]
    best = max(scores, key=lambda one: _number(one.get("V3Score")) or 0, default={})
    return Found(
        kind=FindingKind.DEPENDENCY,
        rule=text(each.get("VulnerabilityID"), 128),
        severity=by_words(_LEVELS, each.get("Severity"), Severity.UNKNOWN),
        title=text(each.get("Title"), 512) or text(each.get("VulnerabilityID"), 128),
        description=text(each.get("Description"), 4096),
        path=package.path,
        links=(each.get("PrimaryURL"), *_list(each.get("References"))[:50]),
        package=package,
        aliases=tuple(text(name, 128) for name in _list(each.get("VendorIDs"))),
        fixed=tuple(part.strip() for part in text(each.get("FixedVersion"), 1024).split(",") if part.strip()),
        score=_number(best.get("V3Score")),
        vector=text(best.get("V3Vector"), 256) or None,
    )


def _misconfigured(each: dict[str, Any], path: str) -> Found:
    return Found(
        kind=FindingKind.CONFIGURATION,
        rule=text(each.get("AVDID") or each.get("ID"), 128),
        severity=by_words(_LEVELS, each.get("Severity"), Severity.UNKNOWN),
        title=text(each.get("Title"), 512),
        description=text(each.get("Resolution") or each.get("Description"), 4096),
        path=path,
        line=number(member(each, "CauseMetadata", "StartLine")),
        links=(each.get("PrimaryURL"),),
    )


def _results(told: Any) -> Any:
    """osv-scanner writes null where it found nothing."""
    if not isinstance(told, dict) or "results" not in told:
        raise Unreadable("wrote a result without results")
    return told["results"] or []


def _package(ecosystem: Any, name: Any, version: Any, path: str) -> Package | None:
    """None: of an ecosystem that we have no words for, or without a name."""
    found = _ECOSYSTEMS.get(text(ecosystem, 64).partition(":")[0].lower())
    named, dated = text(name, 512), text(version, 256)
    if found is Ecosystem.GO:  # `v0.3.5` of go.mod is 0.3.5 of the advisories
        dated = dated.removeprefix("v")
    if found is None or not named:
        return None
    return Package(ecosystem=found, name=named, version=dated or "unknown", path=path)


def _others(tool: str, count: int) -> tuple[str, ...]:
    words = f"{tool}: {count} results are about packages that are neither Python's, Node's, Go's nor Java's"
    return (words,) if count else ()


def _list(given: Any) -> list[Any]:
    return given if isinstance(given, list) else []


def _number(given: Any) -> float | None:
    try:
        found = float(given) if isinstance(given, str | int | float) and not isinstance(given, bool) else None
    except (ValueError, OverflowError):
        return None
    return found if found is not None and 0 < found <= 10 else None  # noqa: PLR2004 - CVSS


def _of_score(score: float) -> Severity:
    return next((level for least, level in _SCORES if score >= least), Severity.LOW)
