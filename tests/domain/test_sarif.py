"""SARIF as others read it: valid by the standard's schema.

`sarif-2.1.0-rtm.5.json` is that schema as SchemaStore has it (Apache-2.0), from the npm package @microsoft/jest-sarif
(MIT), unchanged.
"""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft4Validator

from domain.findings import (
    Ecosystem,
    Finding,
    FindingKind,
    Location,
    Package,
    ScanResult,
    Severity,
    ToolRun,
    fingerprint_of,
)
from domain.sarif import FINGERPRINT, Suppression, sarif_of

VALIDATOR = Draft4Validator(json.loads(Path(__file__).with_name("sarif-2.1.0-rtm.5.json").read_text()))


def finding(**changes: Any) -> Finding:
    values: dict[str, Any] = {
        "fingerprint": fingerprint_of(FindingKind.CODE, "B602", "app.py", str(changes)),
        "kind": FindingKind.CODE,
        "tool": "bandit",
        "rule": "B602",
        "severity": Severity.HIGH,
        "title": "subprocess call with shell=True",
        "location": Location(path="src/app.py", line=3),
    }
    return Finding(**{**values, **changes})


PACKAGE = Package(ecosystem=Ecosystem.PYPI, name="jinja2", version="2.11.2", path="requirements.txt")
ADVISORY = finding(
    kind=FindingKind.DEPENDENCY,
    tool="advisories",
    rule="GHSA-g3rq-g295-4j3m",
    aliases=("CVE-2020-28493",),
    severity=Severity.MEDIUM,
    cvss_score=5.3,
    cvss_vector="CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:N/I:N/A:L",
    title="Regular expressions that take long",
    package=PACKAGE,
    fixed_versions=("2.11.3",),
    location=None,
    links=("https://nvd.nist.gov/vuln/detail/CVE-2020-28493",),
)


def valid(result: ScanResult, **more: Any) -> dict[str, Any]:
    document = sarif_of(result, **more)
    errors = [f"{list(error.path)}: {error.message[:200]}" for error in VALIDATOR.iter_errors(document)]
    assert errors == []
    assert json.loads(json.dumps(document)) == document
    return document


def test_a_scan_of_nothing_is_valid() -> None:
    assert valid(ScanResult())["runs"] == []


def test_each_tool_is_a_run_with_its_rules_and_results() -> None:
    runs = (ToolRun(tool="bandit", version="1.9.4", findings=2), ToolRun(tool="hadolint", version="2.15.1"))
    document = valid(ScanResult(findings=(finding(), finding(line=9), ADVISORY), tools=runs))
    by_tool = {run["tool"]["driver"]["name"]: run for run in document["runs"]}
    assert {name: len(run["results"]) for name, run in by_tool.items()} == {"bandit": 2, "hadolint": 0, "advisories": 1}
    bandit = by_tool["bandit"]
    assert bandit["tool"]["driver"]["version"] == "1.9.4"
    rule = bandit["tool"]["driver"]["rules"][0]
    assert (rule["id"], rule["defaultConfiguration"]["level"], rule["properties"]) == (
        "B602",
        "error",
        {"tags": ["security", "code"], "security-severity": "8.0"},
    )
    result = bandit["results"][0]
    assert result["locations"][0]["physicalLocation"] == {
        "artifactLocation": {"uri": "src/app.py", "uriBaseId": "%SRCROOT%"},
        "region": {"startLine": 3},
    }
    assert result["partialFingerprints"] == {FINGERPRINT: finding().fingerprint}


def test_a_dependency_has_the_place_of_its_lock_file_and_its_score() -> None:
    run = valid(ScanResult(findings=(ADVISORY,)))["runs"][0]
    result = run["results"][0]
    assert result["locations"][0]["physicalLocation"]["artifactLocation"]["uri"] == "requirements.txt"
    assert result["message"]["text"] == "jinja2 2.11.2: Regular expressions that take long (fixed in 2.11.3)"
    assert run["tool"]["driver"]["rules"][0]["properties"]["security-severity"] == "5.3"
    assert (result["level"], result["properties"]["aliases"]) == ("warning", ["CVE-2020-28493"])


def test_what_is_suppressed_says_so_and_why() -> None:
    known = finding()
    document = valid(ScanResult(findings=(known, ADVISORY)), suppressed={known.fingerprint: Suppression("a test")})
    results = [result for run in document["runs"] for result in run["results"]]
    assert [result.get("suppressions") for result in results] == [
        [{"kind": "external", "status": "accepted", "justification": "a test"}],
        None,
    ]


def test_a_tool_that_failed_is_no_clean_run() -> None:
    document = valid(ScanResult(tools=(ToolRun(tool="bandit", fault="it took longer than 60 s and was ended"),)))
    invocation = document["runs"][0]["invocations"][0]
    assert invocation["executionSuccessful"] is False
    assert invocation["toolExecutionNotifications"][0]["message"]["text"] == "it took longer than 60 s and was ended"


def test_notices_are_there() -> None:
    document = valid(ScanResult(notices=("2 symbolic links were not followed",)))
    notes = document["runs"][0]["invocations"][0]["toolExecutionNotifications"]
    assert [note["message"]["text"] for note in notes] == ["2 symbolic links were not followed"]


@pytest.mark.parametrize(
    ("path", "uri"), [("a b/ü.py", "a%20b/%C3%BC.py"), ("100%.py", "100%25.py"), ("a?b#c.py", "a%3Fb%23c.py")]
)
def test_paths_are_uris(path: str, uri: str) -> None:
    document = valid(ScanResult(findings=(finding(location=Location(path=path)),)))
    place = document["runs"][0]["results"][0]["locations"][0]["physicalLocation"]
    assert place == {"artifactLocation": {"uri": uri, "uriBaseId": "%SRCROOT%"}}


_TEXT = st.text(max_size=60)


@given(
    st.lists(
        st.builds(
            finding,
            rule=_TEXT,
            title=_TEXT,
            description=_TEXT,
            severity=st.sampled_from(Severity),
            kind=st.sampled_from(FindingKind),
            tool=st.text(max_size=10),
            location=st.none() | st.builds(Location, path=_TEXT, line=st.none() | st.integers(1, 10**6)),
            package=st.none() | st.just(PACKAGE),
            links=st.lists(_TEXT, max_size=2).map(tuple),
            cvss_score=st.none() | st.floats(0, 10),
        ),
        max_size=4,
    )
)
def test_whatever_a_finding_says_the_document_is_valid(findings: list[Finding]) -> None:
    valid(ScanResult(findings=tuple(findings)))
