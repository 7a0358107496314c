"""Tools of an operator: what they really wrote (`samples/`), and themselves where they are installed."""

import os
import shutil
import zipfile
from pathlib import Path

import pytest

from domain.findings import Ecosystem, FindingKind, Severity
from drivers.scanners.base import Report, ScanOrder, Sources
from drivers.scanners.on_path import RECIPES, OnPath
from drivers.scanners.process import ToolProcesses
from drivers.scanners.readers.dependencies import read_grype, read_osv_scanner, read_trivy
from drivers.scanners.readers.govulncheck import read_govulncheck
from drivers.scanners.readers.semgrep import read_semgrep
from drivers.scanners.tools import LimitedReader
from runtime.limited import LimitedProcesses
from tests.drivers.scanners.conftest import seen
from tests.drivers.scanners.samples import FOLDER, semgrep_rules

READERS = (read_grype, read_osv_scanner, read_trivy, read_govulncheck, read_semgrep)
GO_SERVICE = Path(__file__).parents[2] / "scans" / "apps" / "go"
NODE_SERVICE = GO_SERVICE.with_name("node")
ADVISORIES = Path(__file__).parents[2] / "support" / "osv" / "npm"
WEAKNESS = FOLDER / "GO-2021-0113.json"


def on_path(name: str, isolated: ToolProcesses, limited: LimitedProcesses, order: ScanOrder) -> OnPath:
    if not shutil.which(name):
        pytest.skip(f"{name} is not on the PATH")
    recipe = next(each for each in RECIPES if each.name == name)
    return OnPath(recipe, isolated, LimitedReader(limited), order.scratch.parent / "data")


def test_semgrep_said(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("def f(x):\n    return eval(x)\n\n\ndef g():\n    return eval('1')  # nosemgrep\n")
    (tmp_path / "b.js").write_text("eval(location.hash)\n")
    report = read_semgrep(str(FOLDER / "semgrep.json"), str(tmp_path), "/delivery/app")
    told = [(each.rule, each.severity, each.location and each.location.line) for each in report.findings]
    assert told == [("no-eval", Severity.HIGH, 2), ("js-eval", Severity.MEDIUM, 1)]
    assert report.notices == ("semgrep: 1 findings are suppressed in the sources by `nosemgrep`",)
    assert report.version == "1.185.0"


def test_govulncheck_said(tmp_path: Path) -> None:
    report = read_govulncheck(str(FOLDER / "govulncheck.json"), str(tmp_path), "/delivery/app")
    (found,) = report.findings
    assert (found.rule, found.aliases) == ("GO-2021-0113", ("CVE-2021-38561", "GHSA-ppp9-7jff-5vj2"))
    assert (found.location.path, found.location.line) == ("main.go", 19) if found.location else None
    assert found.package
    assert (found.package.ecosystem, found.package.name, found.package.version) == (
        Ecosystem.GO,
        "golang.org/x/text",
        "0.3.5",
    )
    assert found.fixed_versions == ("0.3.7",)
    assert found.title.endswith("(its code is called)")
    assert (report.version, report.advisories_as_of) == ("v1.9.0", "2024-05-20T16:03:47Z")


def test_osv_scanner_said(tmp_path: Path) -> None:
    """Version 2.5.0, of `tests/scans/apps/node` and the advisories in `tests/support/osv`."""
    report = read_osv_scanner(str(FOLDER / "osv-scanner.json"), str(tmp_path), "/delivery/app")
    told = {(each.rule, each.severity, each.package and each.package.version) for each in report.findings}
    assert told == {
        ("GHSA-35jh-r3h4-6jhm", Severity.HIGH, "4.17.15"),
        ("GHSA-p6mc-m468-83gw", Severity.HIGH, "4.17.15"),
        ("GHSA-xvch-5gv4-984h", Severity.CRITICAL, "1.2.5"),
    }


THEIR_PACKAGES = {
    (Ecosystem.NPM, "lodash", "4.17.15", "package-lock.json"),
    (Ecosystem.NPM, "minimist", "1.2.5", "package-lock.json"),
    (Ecosystem.PYPI, "pyyaml", "5.3.1", "requirements.txt"),
    (Ecosystem.GO, "golang.org/x/text", "0.3.5", "go.mod"),
    (Ecosystem.MAVEN, "org.apache.logging.log4j:log4j-core", "2.14.1", "pom.xml"),
}


def test_grype_said(tmp_path: Path) -> None:
    """Version 0.121.3, of the planted services' lock files and a database that its library made of five advisories."""
    report = read_grype(str(FOLDER / "grype.json"), str(tmp_path), "/delivery/app")
    told = {
        (each.rule, each.aliases, each.severity, each.cvss_score, each.fixed_versions)
        for each in report.findings
        if each.package
    }
    assert told == {
        ("GHSA-35jh-r3h4-6jhm", ("CVE-2021-23337",), Severity.HIGH, 7.2, ("4.17.21",)),
        ("GHSA-xvch-5gv4-984h", ("CVE-2021-44906",), Severity.CRITICAL, 9.8, ("1.2.6",)),
        ("GHSA-8q59-q68h-6hv4", ("CVE-2020-14343",), Severity.CRITICAL, 9.8, ("5.4",)),
        ("GHSA-ppp9-7jff-5vj2", ("CVE-2021-38561",), Severity.HIGH, 7.5, ("0.3.7",)),
        ("GHSA-jfh8-c2jp-5v3q", ("CVE-2021-44228",), Severity.CRITICAL, 10.0, ("2.15.0",)),
    }
    packages = [each.package for each in report.findings if each.package]
    assert {(each.ecosystem, each.name, each.version, each.path) for each in packages} == THEIR_PACKAGES
    assert all(each.cvss_vector for each in report.findings)
    assert (report.version, report.advisories_as_of) == ("", "2026-12-01T14:06:06Z")


def test_trivy_said(tmp_path: Path) -> None:
    """Version 0.74.0, of the same lock files, a Dockerfile, and a database that its library made of the advisories."""
    report = read_trivy(str(FOLDER / "trivy.json"), str(tmp_path), "/delivery/app")
    weak = {
        (each.rule, each.aliases, each.severity, each.cvss_score, each.fixed_versions)
        for each in report.findings
        if each.kind is FindingKind.DEPENDENCY and each.cvss_vector
    }
    assert weak == {
        ("CVE-2021-23337", ("GHSA-35jh-r3h4-6jhm",), Severity.HIGH, 7.2, ("4.17.21",)),
        ("CVE-2021-44906", ("GHSA-xvch-5gv4-984h",), Severity.CRITICAL, 9.8, ("1.2.6",)),
        ("CVE-2020-14343", ("GHSA-8q59-q68h-6hv4",), Severity.CRITICAL, 9.8, ("5.4",)),
        ("CVE-2021-38561", ("GHSA-ppp9-7jff-5vj2",), Severity.HIGH, 7.5, ("0.3.7",)),
        ("CVE-2021-44228", ("GHSA-jfh8-c2jp-5v3q",), Severity.CRITICAL, 10.0, ("2.15.0",)),
    }
    packages = [each.package for each in report.findings if each.package]
    assert {(each.ecosystem, each.name, each.version, each.path) for each in packages} == THEIR_PACKAGES
    open_doors = {each.rule: each for each in report.findings if each.kind is FindingKind.CONFIGURATION}
    assert {"DS-0002", "DS-0004"} <= open_doors.keys()
    assert open_doors["DS-0004"].location
    assert (open_doors["DS-0004"].location.path, open_doors["DS-0004"].location.line) == ("Dockerfile", 3)


async def test_trivy_itself(isolated: ToolProcesses, limited: LimitedProcesses, order: ScanOrder) -> None:
    """Where its database is at hand, too: TRIVY_CACHE_DIR names one that knows lodash 4.17.15."""
    scanner = on_path("trivy", isolated, limited, order)
    database = os.environ.get("TRIVY_CACHE_DIR", "")
    if not database:
        pytest.skip("TRIVY_CACHE_DIR names no cache of trivy")
    shutil.copytree(database, order.scratch.parent / "data" / "trivy")
    shutil.copy(NODE_SERVICE / "package-lock.json", order.tree)
    (order.tree / "Dockerfile").write_text("FROM python:3.11\nEXPOSE 22\n")
    (order.tree / ".trivyignore").write_text("CVE-2021-23337\nDS-0004\n")
    (order.tree / "trivy.yaml").write_text("severity: [LOW]\n")
    report = await scan(scanner, order)
    assert report.fault is None
    assert {"CVE-2021-23337", "DS-0004"} <= {each.rule for each in report.findings}


async def test_osv_scanner_itself(isolated: ToolProcesses, limited: LimitedProcesses, order: ScanOrder) -> None:
    """Without a network, and whatever the tree says that it shall ignore."""
    scanner = on_path("osv-scanner", isolated, limited, order)
    database = order.scratch.parent / "data" / "osv-scanner" / "osv-scalibr" / "npm"
    database.mkdir(parents=True)
    with zipfile.ZipFile(database / "all.zip", "w") as archive:
        for path in ADVISORIES.glob("*.json"):
            archive.write(path, path.name)
    shutil.copy(NODE_SERVICE / "package-lock.json", order.tree)
    ignored = '[[IgnoredVulns]]\nid = "GHSA-35jh-r3h4-6jhm"\nreason = "we like it"\n'
    (order.tree / "osv-scanner.toml").write_text(ignored)
    report = await scan(scanner, order)
    assert report.fault is None
    assert len(report.findings) == 3


async def test_grype_itself(isolated: ToolProcesses, limited: LimitedProcesses, order: ScanOrder) -> None:
    """Where its database is at hand, too: GRYPE_DB_CACHE_DIR names one that knows lodash 4.17.15."""
    scanner = on_path("grype", isolated, limited, order)
    database = os.environ.get("GRYPE_DB_CACHE_DIR", "")
    if not database:
        pytest.skip("GRYPE_DB_CACHE_DIR names no database of grype")
    shutil.copytree(database, order.scratch.parent / "data" / "grype")
    shutil.copy(NODE_SERVICE / "package-lock.json", order.tree)
    (order.tree / ".grype.yaml").write_text("ignore:\n  - vulnerability: GHSA-35jh-r3h4-6jhm\n")
    report = await scan(scanner, order)
    assert report.fault is None
    told = {(each.rule, each.package and each.package.version) for each in report.findings}
    assert ("GHSA-35jh-r3h4-6jhm", "4.17.15") in told


def without(service: Path, to: Path) -> None:
    """A Go service, its placeholders as they are."""
    for name in ("main.go", "go.mod", "go.sum"):
        shutil.copy(service / name, to / name)


async def scan(scanner: OnPath, order: ScanOrder) -> Report:
    assert scanner.at_hand
    return await scanner.scan(seen(order), timeout_s=600)


def test_files_that_no_command_line_has_room_for_are_told(order: ScanOrder) -> None:
    files = dict.fromkeys((f"{'x' * 1000}{number}.py" for number in range(1200)), 1)
    recipe = next(each for each in RECIPES if each.name == "semgrep")
    command = recipe.command(Sources(order, files), "semgrep", Path("/data"))
    assert 0 < len(command.paths) < 1200
    assert command.notices == (f"semgrep: 1200 files, of which the first {len(command.paths)} were looked at",)


async def test_semgrep_itself_is_not_switched_off_by_files_of_the_tree(
    isolated: ToolProcesses, limited: LimitedProcesses, order: ScanOrder
) -> None:
    scanner = on_path("semgrep", isolated, limited, order)
    semgrep_rules(order.scratch.parent / "data" / "semgrep")
    for name in (".semgrepignore", ".gitignore"):
        (order.tree / name).write_text("*\n")
    (order.tree / "tests").mkdir()
    (order.tree / "tests" / "app.py").write_text("eval(input())\n")
    report = await scan(scanner, order)
    assert [(each.rule, each.location and each.location.path) for each in report.findings] == [
        ("no-eval", "tests/app.py")
    ]


async def test_govulncheck_itself(isolated: ToolProcesses, limited: LimitedProcesses, order: ScanOrder) -> None:
    """Without a network: the modules are those that the build fetched."""
    scanner = on_path("govulncheck", isolated, limited, order)
    fetched = Path(os.environ.get("GOPATH", Path.home() / "go")) / "pkg" / "mod"
    if not (fetched / "golang.org" / "x" / "text@v0.3.5").is_dir():
        pytest.skip("golang.org/x/text v0.3.5 is not in the module cache")
    shutil.copytree(
        fetched / "golang.org" / "x" / "text@v0.3.5",
        _modules(order) / "golang.org" / "x" / "text@v0.3.5",
        dirs_exist_ok=True,
    )
    cache = fetched / "cache" / "download" / "golang.org" / "x"
    shutil.copytree(cache, _modules(order) / "cache" / "download" / "golang.org" / "x")
    database(order.scratch.parent / "data" / "govulncheck")
    without(GO_SERVICE, order.tree)
    report = await scan(scanner, order)
    assert report.fault is None
    assert [each.rule for each in report.findings] == ["GO-2021-0113"]


def _modules(order: ScanOrder) -> Path:
    return order.tree.with_name(f"{order.tree.name}.private") / "home" / "go" / "pkg" / "mod"


def database(folder: Path) -> None:
    """A mirror of Go's advisories with one in it."""
    (folder / "index").mkdir(parents=True)
    (folder / "ID").mkdir()
    shutil.copy(WEAKNESS, folder / "ID")
    (folder / "index" / "db.json").write_text('{"modified":"2024-05-20T16:03:47Z"}')
    known = '{"id":"GO-2021-0113","modified":"2024-05-20T16:03:47Z","fixed":"0.3.7"}'
    (folder / "index" / "modules.json").write_text(f'[{{"path":"golang.org/x/text","vulns":[{known}]}}]')
    (folder / "index" / "vulns.json").write_text('[{"id":"GO-2021-0113","modified":"2024-05-20T16:03:47Z"}]')


ODD = (
    *(
        "",
        "garbage",
        "[",
        "null",
        "5",
        "[]",
        '{"results": 5}',
        '{"matches": {}}',
        '{"runs": [[]]}',
        "{}{}",
        "[" * 10**5,
    ),
    '{"results": [{"packages": [{"package": []}], "source": 1}], "matches": [{"artifact": 1}], "errors": [1]}',
    '{"SchemaVersion": 2, "Results": [{"Vulnerabilities": [1]}]}',
    '{"config": {}} {"finding": {"trace": 5}} {"osv"',
)


@pytest.mark.parametrize("odd", ODD, ids=lambda odd: odd[:20])
@pytest.mark.parametrize("read", READERS, ids=lambda read: read.__name__)
def test_what_no_tool_would_write_is_a_fault(read, odd: str, tmp_path: Path) -> None:
    (tmp_path / "out").write_text(odd)
    report = read(str(tmp_path / "out"), str(tmp_path), "/delivery/app")
    told = (report.fault or "").startswith("it wrote ") or "1 results are about packages" in " ".join(report.notices)
    assert (report.findings, told) == ((), True)


@pytest.mark.parametrize("read", READERS, ids=lambda read: read.__name__)
def test_an_empty_result_is_none(read, tmp_path: Path) -> None:
    told = '{"results": null, "matches": [], "SchemaVersion": 2, "config": {"scanner_version": "v1"}}'
    (tmp_path / "out").write_text(told.replace("null", "[]") if read is read_semgrep else told)
    report = read(str(tmp_path / "out"), str(tmp_path), "/delivery/app")
    assert (report.findings, report.fault) == ((), None)


def test_osv_scanners_and_grypes_words_are_understood(tmp_path: Path) -> None:
    """Made by hand after their documentation; what they really wrote is above."""
    for read, told in ((read_osv_scanner, OSV_SCANNER), (read_grype, GRYPE)):
        (tmp_path / "out").write_text(told)
        report = read(str(tmp_path / "out"), str(tmp_path), "/delivery/app/web")
        (found,) = report.findings
        assert (found.rule, found.aliases) == ("GHSA-g3rq-g295-4j3m", ("CVE-2020-28493",))
        assert (found.severity, found.cvss_score, found.fixed_versions) == (Severity.MEDIUM, 5.3, ("2.11.3",))
        assert found.package
        assert (found.package.name, found.package.version, found.package.path) == (
            "jinja2",
            "2.11.2",
            "requirements.txt",
        )


OSV_SCANNER = """
{"results": [{"source": {"path": "/delivery/app/web/requirements.txt", "type": "lockfile"}, "packages": [
 {"package": {"name": "jinja2", "version": "2.11.2", "ecosystem": "PyPI"}, "vulnerabilities": [
  {"id": "GHSA-g3rq-g295-4j3m", "aliases": ["CVE-2020-28493"], "summary": "ReDoS in Jinja2", "details": "long",
   "affected": [{"package": {"name": "jinja2", "ecosystem": "PyPI"}, "ranges": [
     {"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "2.11.3"}]}]}],
   "references": [{"type": "WEB", "url": "https://example.com/advisory"}]}],
  "groups": [{"ids": ["GHSA-g3rq-g295-4j3m"], "aliases": ["CVE-2020-28493", "GHSA-g3rq-g295-4j3m"],
              "max_severity": "5.3"}]}]}]}
"""
GRYPE = """
{"descriptor": {"name": "grype", "version": "0.121.3"}, "matches": [
 {"vulnerability": {"id": "GHSA-g3rq-g295-4j3m", "dataSource": "https://example.com/advisory", "severity": "Medium",
   "description": "ReDoS in Jinja2", "cvss": [{"version": "3.1", "metrics": {"baseScore": 5.3}}],
   "fix": {"versions": ["2.11.3"], "state": "fixed"}},
  "relatedVulnerabilities": [{"id": "CVE-2020-28493"}],
  "artifact": {"name": "jinja2", "version": "2.11.2", "type": "python", "locations": [{"path": "/requirements.txt"}]}}]}
"""


def test_trivys_words_are_understood(tmp_path: Path) -> None:
    """Made by hand after its documentation; what it really wrote is above."""
    (tmp_path / "out").write_text(TRIVY)
    report = read_trivy(str(tmp_path / "out"), str(tmp_path), "/delivery/app")
    weak, open_door = report.findings
    assert (weak.rule, weak.severity, weak.cvss_score, weak.fixed_versions) == (
        "CVE-2020-28493",
        Severity.MEDIUM,
        5.3,
        ("2.11.3",),
    )
    assert weak.package
    assert (weak.package.ecosystem, weak.package.name) == (Ecosystem.PYPI, "Jinja2")
    assert (open_door.kind, open_door.severity) == (FindingKind.CONFIGURATION, Severity.HIGH)
    assert open_door.location
    assert (open_door.location.path, open_door.location.line) == ("Dockerfile", 3)
    assert report.notices == ("trivy: 1 results are about packages that are neither Python's, Node's, Go's nor Java's",)


TRIVY = """
{"SchemaVersion": 2, "ArtifactName": ".", "ArtifactType": "filesystem", "Results": [
 {"Target": "requirements.txt", "Class": "lang-pkgs", "Type": "pip", "Vulnerabilities": [
  {"VulnerabilityID": "CVE-2020-28493", "PkgName": "Jinja2", "InstalledVersion": "2.11.2", "FixedVersion": "2.11.3",
   "Severity": "MEDIUM", "Title": "ReDoS in urlize", "PrimaryURL": "https://avd.aquasec.com/nvd/cve-2020-28493",
   "CVSS": {"nvd": {"V3Vector": "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:N/I:N/A:L", "V3Score": 5.3}}}]},
 {"Target": "Gemfile.lock", "Class": "lang-pkgs", "Type": "bundler", "Vulnerabilities": [
  {"VulnerabilityID": "CVE-1", "PkgName": "rails", "InstalledVersion": "1"}]},
 {"Target": "Dockerfile", "Class": "config", "Type": "dockerfile", "Misconfigurations": [
  {"ID": "DS002", "AVDID": "AVD-DS-0002", "Title": "Image user should not be 'root'", "Severity": "HIGH",
   "Status": "FAIL", "CauseMetadata": {"StartLine": 3}, "PrimaryURL": "https://avd.aquasec.com/misconfig/ds002"},
  {"ID": "DS001", "Title": "fine", "Severity": "LOW", "Status": "PASS"}]}]}
"""
