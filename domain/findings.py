"""What scans find: a weakness of a dependency, of code or of a configuration, or a secret in the sources.

Names of ecosystems are those of OSV (https://ossf.github.io/osv-schema/#affectedpackage-field).
"""

import hashlib
from collections.abc import Iterable
from enum import StrEnum
from typing import Annotated, Final

from packageurl import PackageURL
from pydantic import BaseModel, ConfigDict, Field

MAX_FINDINGS: Final = 5_000
MAX_LINKS: Final = 20
MAX_DESCRIPTION: Final = 4_096


class Severity(StrEnum):
    """The contract's four levels; `UNKNOWN`: the advisory has no score that could be read."""

    CRITICAL = "critical"
    HIGH = "high"
    MEDIUM = "medium"
    LOW = "low"
    UNKNOWN = "unknown"


class FindingKind(StrEnum):
    """What a finding is about."""

    DEPENDENCY = "dependency"
    CODE = "code"
    SECRET = "secret"  # noqa: S105 - the name of a kind
    CONFIGURATION = "configuration"


class Ecosystem(StrEnum):
    """Where packages come from, in the words of OSV."""

    PYPI = "PyPI"
    NPM = "npm"
    GO = "Go"
    MAVEN = "Maven"


_PURL_TYPES: Final = {
    Ecosystem.PYPI: "pypi",
    Ecosystem.NPM: "npm",
    Ecosystem.GO: "golang",
    Ecosystem.MAVEN: "maven",
}


class Kept(BaseModel):
    """Stored in rows and documents, and read back by newer and older versions."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class Package(Kept):
    """A dependency at one version, as a lock file names it. Maven's names are `group:artifact`."""

    ecosystem: Ecosystem
    name: Annotated[str, Field(min_length=1, max_length=512)]
    version: Annotated[str, Field(min_length=1, max_length=256)]
    path: Annotated[str, Field(max_length=1024)] = ""  # of the lock file, below the service's folder
    development: bool = False  # needed to build or to test only
    licenses: tuple[str, ...] = ()
    hashes: tuple[str, ...] = ()  # `sha256:<hex>`, as locked

    @property
    def purl(self) -> str:
        """The package's address as tools know it: `pkg:pypi/django@5.0.1`, `pkg:npm/%40scope/name@1.0.0`."""
        separator = ":" if self.ecosystem is Ecosystem.MAVEN else "/"
        namespace, _, name = self.name.rpartition(separator)
        return PackageURL(_PURL_TYPES[self.ecosystem], namespace or None, name, self.version).to_string()


class Location(Kept):
    """A place in the sources, relative to the service's folder. `line` counts from 1; None: the whole file."""

    path: Annotated[str, Field(max_length=1024)]
    line: int | None = None


class Finding(Kept):
    """One weakness, found by one tool.

    `rule`: the advisory's id (`GHSA-...`, `PYSEC-...`, `CVE-...`) or the tool's rule (`B602`, `DL3006`). `fingerprint`
    is the same in every build that has the same weakness: see `fingerprint_of`.
    """

    fingerprint: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    kind: FindingKind
    tool: Annotated[str, Field(max_length=64)]
    rule: Annotated[str, Field(max_length=128)]
    aliases: Annotated[tuple[str, ...], Field(max_length=50)] = ()
    severity: Severity
    cvss_score: Annotated[float | None, Field(ge=0, le=10)] = None
    cvss_vector: Annotated[str | None, Field(max_length=256)] = None
    title: Annotated[str, Field(max_length=512)]
    description: Annotated[str, Field(max_length=MAX_DESCRIPTION)] = ""
    package: Package | None = None
    fixed_versions: Annotated[tuple[str, ...], Field(max_length=50)] = ()
    location: Location | None = None
    links: Annotated[tuple[str, ...], Field(max_length=MAX_LINKS)] = ()

    @property
    def fixable(self) -> bool:
        """Whether something can be done now: code and secrets always, a dependency when a fixed version exists."""
        return self.kind is not FindingKind.DEPENDENCY or bool(self.fixed_versions)


class ToolRun(Kept):
    """One scanner's part of a scan. `fault`: why it has no result; then nothing may be called clean on its word."""

    tool: Annotated[str, Field(max_length=64)]
    version: Annotated[str, Field(max_length=64)] = ""
    duration_ms: int = 0
    findings: int = 0
    fault: Annotated[str | None, Field(max_length=1024)] = None


class ScanResult(Kept):
    """All that the scanners say of one tree. `packages`: its dependencies, for the SBOM and later re-scans.

    `found`: how many of each severity there were before `findings` was cut to the worst `MAX_FINDINGS`; empty: as many.
    """

    findings: tuple[Finding, ...] = ()
    packages: tuple[Package, ...] = ()
    tools: tuple[ToolRun, ...] = ()
    advisories_as_of: str | None = None  # RFC 3339, of the newest advisory; None: none were looked at
    notices: tuple[str, ...] = ()
    found: dict[Severity, int] = Field(default_factory=dict)


def fingerprint_of(kind: FindingKind, *parts: str) -> str:
    """What makes a weakness the same in another build, as 64 hexadecimal digits.

    A dependency: the first of all its ids by alphabet, ecosystem, name (not the version: a newer one with the same
    weakness is no news). Code and configuration: rule, path, the line's text without white space (lines move).
    A secret: rule, path, and a hash of the secret, never itself.
    """
    return hashlib.sha256("\0".join((kind, *parts)).encode("utf-8", errors="replace")).hexdigest()


def counts_of(severities: Iterable[Severity]) -> dict[Severity, int]:
    """How many of each severity, the worst first; those of none are 0."""
    counts = dict.fromkeys(Severity, 0)
    for severity in severities:
        counts[severity] += 1
    return counts
