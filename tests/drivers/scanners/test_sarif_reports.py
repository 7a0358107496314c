"""SARIF that a build wrote: anybody's, of any size and kind."""

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from domain.findings import FindingKind, ScanResult, Severity, fingerprint_of
from domain.sarif import sarif_of
from drivers.scanners.base import Report, ScanOrder
from drivers.scanners.readers.sarif import MAX_BYTES, read_sarif
from drivers.scanners.registry import Scanners
from drivers.scanners.tools import SarifReports
from runtime.limited import LimitedProcesses
from tests.drivers.scanners.samples import FOLDER, SARIF

TOKEN = "ghp" + "_" + "a1B2" * 9


def result(**changes: Any) -> dict[str, Any]:
    place = {"artifactLocation": {"uri": "src/app.py"}, "region": {"startLine": 1}}
    return {"ruleId": "r", "message": {"text": "words"}, "locations": [{"physicalLocation": place}], **changes}


def at(uri: str, line: Any = 1, **artifact: Any) -> dict[str, Any]:
    place = {"artifactLocation": {"uri": uri, **artifact}, "region": {"startLine": line}}
    return result(locations=[{"physicalLocation": place}])


def document(*results: Any, driver: dict[str, Any] | None = None, **run: Any) -> dict[str, Any]:
    tool = {"driver": {"name": "tool", **(driver or {})}}
    return {"version": "2.1.0", "runs": [{"tool": tool, "results": list(results), **run}]}


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    (tmp_path / "tree" / "src").mkdir(parents=True)
    (tmp_path / "tree" / "src" / "app.py").write_text("password = 'hunter2hunter2'\nimport os\n")
    return tmp_path / "tree"


def read(tree: Path, told: Any, name: str = "out.sarif") -> Report:
    (tree / name).write_text(told if isinstance(told, str) else json.dumps(told))
    return read_sarif(str(tree), "/delivery/app/web", name)


def test_levels_and_scores_are_severities(tree: Path) -> None:
    rules = {
        "rules": [
            {"id": "scored", "properties": {"security-severity": "9.8"}},
            {"id": "noted", "defaultConfiguration": {"level": "note"}},
            {"id": "odd", "properties": {"security-severity": "very"}, "defaultConfiguration": {"level": "loud"}},
        ]
    }
    told = [result(ruleId=name) for name in ("scored", "noted", "odd", "unknown")]
    told += [result(ruleId="scored", level="note"), result(ruleId="x", level="error"), result(ruleIndex=0, ruleId=None)]
    report = read(tree, document(*told, driver=rules))
    assert [each.severity for each in report.findings] == [
        *(Severity.CRITICAL, Severity.LOW, Severity.UNKNOWN, Severity.MEDIUM),
        *(Severity.CRITICAL, Severity.HIGH, Severity.CRITICAL),
    ]


def test_what_says_that_all_is_well_is_no_finding(tree: Path) -> None:
    told = [result(kind=kind) for kind in ("pass", "notApplicable", "informational")]
    report = read(tree, document(*told, result(baselineState="absent"), result(kind="review"), result(kind="fail")))
    assert len(report.findings) == 2


def test_suppressed_ones_are_counted_and_left_out(tree: Path) -> None:
    told = [
        result(suppressions=[{"kind": "inSource"}]),
        result(suppressions=[{"kind": "external", "status": "accepted"}]),
        result(suppressions=[{"kind": "external", "status": "rejected"}]),
        result(suppressions=[{"kind": "external", "status": "underReview"}]),
        result(suppressions=[]),
    ]
    report = read(tree, document(*told))
    assert len(report.findings) == 3
    assert report.notices == ("out.sarif: 2 results are suppressed in it",)


@pytest.mark.parametrize(
    ("uri", "path"),
    [
        ("src/app.py", "src/app.py"),
        ("./src/app.py", "src/app.py"),
        ("file:///delivery/app/web/src/app.py", "src/app.py"),
        ("/delivery/app/web/src/app.py", "src/app.py"),
        ("src/a%20b.py", "src/a b.py"),
        ("../../../etc/passwd", None),
        ("src/../../x", None),
        ("%2e%2e/x", None),
        ("/etc/passwd", None),
        ("file:///etc/passwd", None),
        ("file://host/share", None),
        ("https://example.com/src/app.py", None),
        ("src/%0aapp.py", None),
        ("x" * 5000, None),
        ("http://[", None),
        ("", ""),
    ],
)
def test_places_are_below_the_service_or_left_out(tree: Path, uri: str, path: str | None) -> None:
    report = read(tree, document(at(uri)))
    assert report.fault is None
    if path is None:
        assert report.findings == ()
        assert "were left out" in report.notices[0]
    else:
        assert [each.location.path if each.location else "" for each in report.findings] == [path]


def test_places_by_index_and_by_base(tree: Path) -> None:
    by_index = result(locations=[{"physicalLocation": {"artifactLocation": {"index": 0}}}])
    by_base = at("src/app.py", uriBaseId="SRC")
    run = {
        "artifacts": [{"location": {"uri": "src/app.py"}}],
        "originalUriBaseIds": {"SRC": {"uri": "file:///delivery/app/web/"}},
    }
    report = read(tree, document(by_index, by_base, **run))
    assert [each.location.path for each in report.findings if each.location] == ["src/app.py", "src/app.py"]


def test_secrets_that_a_tool_quotes_are_masked(tree: Path) -> None:
    quoting = result(ruleId="hard-coded", message={"text": "the password 'hunter2hunter2' is in the sources"})
    bare = result(ruleId="bare", message={"text": f"token {TOKEN} and hunter2hunter2 and postgres://a:pw1234@host/x"})
    secret = result(ruleId="aws-secret-key", message={"text": "xyzzy-plugh"})
    report = read(tree, document(quoting, bare, secret))
    assert [each.title for each in report.findings] == [
        "tool: the password '***' is in the sources",
        "tool: token *** and *** and postgres://***@host/x",
        "tool: aws-secret-key",
    ]
    assert report.findings[2].kind is FindingKind.SECRET


def test_a_finding_stays_the_same_when_lines_move(tree: Path) -> None:
    before = read(tree, document(at("src/app.py", 2))).findings[0]
    (tree / "src" / "app.py").write_text("\n\n" + (tree / "src" / "app.py").read_text())
    after = read(tree, document(at("src/app.py", 4))).findings[0]
    assert before.fingerprint == after.fingerprint
    assert before.fingerprint == fingerprint_of(FindingKind.CODE, "r", "src/app.py", "importos")


@pytest.mark.parametrize(
    "told",
    [
        "",
        "garbage",
        '{"version": "2.1.0", "runs": [{"tool"',
        "[]",
        "null",
        '{"version": "2.0.0", "runs": []}',
        '{"version": "2.1.0"}',
        '{"version": "2.1.0", "runs": {}}',
        '{"version": "2.1.0", "runs": [1]}',
        '{"version": "2.1.0", "runs": [{"results": [null]}]}',
        '{"version": "2.1.0", "runs": [{"results": "many"}]}',
        "[" * 100_000,
    ],
)
def test_what_is_no_sarif_is_a_fault(tree: Path, told: str) -> None:
    report = read(tree, told)
    assert (report.findings, (report.fault or "").startswith("out.sarif: it ")) == ((), True)


ODD: tuple[Any, ...] = (None, True, -1, 1.5, 10**30, "x", "x" * 100_000, [], {}, [[]], [None], {"text": []}, "\u0000")


@pytest.mark.parametrize("odd", ODD, ids=lambda odd: repr(odd)[:20])
def test_odd_values_break_nothing(tree: Path, odd: Any) -> None:
    names = ("ruleId", "ruleIndex", "rule", "message", "locations", "suppressions", "level", "kind", "properties")
    names += ("fingerprints", "partialFingerprints", "baselineState")
    told = [result(**{name: odd}) for name in names]
    told += [at(odd), at("src/app.py", odd), at("src/app.py", uriBaseId=odd), result(ruleId=None, rule={"index": odd})]
    driver = {"name": odd, "version": odd, "rules": odd}
    rule = {"id": "r", "shortDescription": odd, "helpUri": odd, "properties": {"tags": odd, "security-severity": odd}}
    for run in (
        document(*told),
        document(*told, driver=driver, artifacts=odd, originalUriBaseIds=odd),
        document(*told, driver={"rules": [rule, odd]}),
        document(*told, driver={"rules": [{"id": odd}]}),
        document(*told, tool=odd),
    ):
        report = read(tree, run)
        assert report.fault is None or "is no JSON" in report.fault
        sarif_of(ScanResult(findings=report.findings, notices=report.notices))


def test_files_that_are_none(tree: Path, tmp_path: Path) -> None:
    (tmp_path / "outside.sarif").write_text(SARIF)
    (tree / "link.sarif").symlink_to(tmp_path / "outside.sarif")
    (tree / "folder.sarif").mkdir()
    (tree / "way").symlink_to(tmp_path)
    os.mkfifo(tree / "pipe.sarif")
    faults = {
        name: read_sarif(str(tree), "/delivery/app", name).fault
        for name in ("gone.sarif", "link.sarif", "folder.sarif", "pipe.sarif", "way/outside.sarif", "../outside.sarif")
    }
    assert faults.pop("gone.sarif") == "gone.sarif: it is not there: no step of the build wrote it"
    assert {each.partition(": ")[2] for each in faults.values() if each} == {
        "it is no regular file below the service's folder, or a link"
    }


def test_one_that_is_too_large_is_not_read(tree: Path) -> None:
    with (tree / "out.sarif").open("wb") as file:
        file.truncate(MAX_BYTES + 1)
    assert read_sarif(str(tree), "/delivery/app", "out.sarif").fault == "out.sarif: it is larger than 16 MiB"


async def test_very_many_results_are_counted_and_the_worst_kept(
    tree: Path, order: ScanOrder, limited: LimitedProcesses
) -> None:
    small = '{"ruleId":"r","message":{"text":"w"},"locations":[{"physicalLocation":{"artifactLocation":{"uri":"a"}}}]}'
    (tree / "out.sarif").write_text(
        '{"version":"2.1.0","runs":[{"tool":{"driver":{"name":"t"}},"results":['
        + f"{small}," * 20_000
        + f"{small}]}}]}}"
    )
    scanners = Scanners((), always=(SarifReports(limited),))
    told = await scanners.scan(replace(order, tree=tree, sarif=("out.sarif", "gone.sarif")))
    assert len(told.findings) == 5000
    assert "sarif: 15001 results more than 5000, which were left out" in told.notices
    assert [run.fault for run in told.tools] == ["gone.sarif: it is not there: no step of the build wrote it"]


def test_what_semgrep_wrote(tree: Path) -> None:
    report = read(tree, (FOLDER / "semgrep.sarif").read_text())
    assert [
        (each.rule, each.severity, each.title, each.location and each.location.line) for each in report.findings
    ] == [
        ("rules.no-eval", Severity.HIGH, "Semgrep OSS: eval of x runs whatever it is given", 2),
        ("rules.js-eval", Severity.MEDIUM, "Semgrep OSS: eval of location.hash", 1),
    ]
    assert report.notices == ("out.sarif: 1 results are suppressed in it",)


def test_our_own_is_read_back_as_it_was(tree: Path) -> None:
    first = read(tree, SARIF.replace('"startLine": 1', '"startLine": 2'))
    second = read(tree, sarif_of(ScanResult(findings=first.findings)))
    assert [each.fingerprint for each in second.findings] == [each.fingerprint for each in first.findings]


@pytest.mark.parametrize(
    ("told", "words"),
    [
        ({"version": "2.1.0", "runs": []}, "tells of no run"),
        (document(invocations=[{"executionSuccessful": True}, {"executionSuccessful": False}]), "did not do its work"),
        (document() | {"runs": [{"tool": {"driver": {"name": "gosec"}}}]}, "has no results of gosec"),
        (document() | {"runs": [{"tool": {}, "results": None}]}, "has no results of a tool"),
    ],
)
def test_a_tool_that_did_not_look_has_not_found_nothing(tree: Path, told: Any, words: str) -> None:
    """Such a file was read as one without findings: a silent pass."""
    report = read(tree, told)
    assert report.findings == ()
    assert words in (report.fault or "")
    assert (report.fault or "").startswith("out.sarif: it ")


def test_what_a_tool_found_before_it_failed_counts(tree: Path) -> None:
    report = read(tree, document(result(), invocations=[{"executionSuccessful": False}]))
    assert ([each.rule for each in report.findings], bool(report.fault)) == (["r"], True)
