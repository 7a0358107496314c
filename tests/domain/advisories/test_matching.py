"""Findings: one for each weakness, whoever tells of it."""

import itertools

from domain.advisories import matching
from domain.advisories.matching import grouped, judge
from domain.findings import MAX_DESCRIPTION, Severity
from domain.same_weakness import Known, settled
from tests.domain.advisories.records import advisory, package

ALL = [{"introduced": "0"}]
FIXED = [{"introduced": "0"}, {"fixed": "1.2.0"}]


def found(*advisories, version="1.0.0", **more):
    return judge([(package(version, **more), list(advisories))]).findings


def test_one_weakness_told_by_three_databases_is_one_finding():
    ghsa = advisory("GHSA-aaaa-bbbb-cccc", FIXED, aliases=["CVE-2020-1"], summary="Bad")
    pysec = advisory("PYSEC-2020-7", FIXED, aliases=["GHSA-aaaa-bbbb-cccc"])
    cve = advisory("CVE-2020-1", FIXED)
    for told in itertools.permutations((ghsa, pysec, cve)):
        (finding,) = found(*told)
        assert (finding.rule, finding.aliases) == ("CVE-2020-1", ("GHSA-aaaa-bbbb-cccc", "PYSEC-2020-7"))
        assert (finding.title, finding.fixed_versions) == ("Bad", ("1.2.0",))


def test_different_weaknesses_are_different_findings():
    assert len(found(advisory("GHSA-1", ALL), advisory("GHSA-2", ALL, related=["GHSA-1"]))) == 2


def test_groups_are_joined_by_a_name_between_them():
    a, b, c = (
        advisory(f"X-{n}", ALL, aliases=names) for n, names in ((1, ["CVE-1"]), (2, ["CVE-2"]), (3, ["CVE-1", "CVE-2"]))
    )
    assert [[each.id for each in group] for group in grouped([a, b])] == [["X-1"], ["X-2"]]
    assert [{each.id for each in group} for group in grouped([a, b, c])] == [{"X-1", "X-2", "X-3"}]


def test_a_cve_that_comes_later_is_found_under_the_earlier_name():
    (before,) = found(advisory("GHSA-aaaa-bbbb-cccc", ALL))
    (after,) = found(advisory("GHSA-aaaa-bbbb-cccc", ALL, aliases=["CVE-2026-1"]))
    assert before.fingerprint != after.fingerprint
    known = Known(1, before.fingerprint, before.package.ecosystem, before.package.name, (before.rule, *before.aliases))
    (settled_,) = settled([after], [known]).findings
    assert (settled_.fingerprint, settled_.rule) == (before.fingerprint, "CVE-2026-1")


def test_an_alias_that_comes_later_changes_nothing_when_there_is_a_cve():
    (before,) = found(advisory("GHSA-aaaa-bbbb-cccc", ALL, aliases=["CVE-2026-1"]))
    (after,) = found(advisory("GHSA-aaaa-bbbb-cccc", ALL, aliases=["CVE-2026-1", "BIT-left-pad-2026-1"]))
    assert before.fingerprint == after.fingerprint


def test_the_version_is_no_part_of_the_fingerprint_and_two_versions_are_one_finding():
    told = [advisory("GHSA-1", FIXED)]
    (one,) = judge([(package("1.0.0"), told)]).findings
    (both,) = judge([(package("1.1.0"), told), (package("1.0.0"), told)]).findings
    assert (one.fingerprint, both.package.version) == (both.fingerprint, "1.0.0")
    assert both.description.startswith("Versions here: 1.0.0 (package-lock.json), 1.1.0 (package-lock.json).")
    many = judge([(package(f"1.0.{n}"), told) for n in range(3000)]).findings
    assert len(many) == 1
    assert len(many[0].description) <= MAX_DESCRIPTION


def test_withdrawn_advisories_tell_nothing():
    assert found(advisory("GHSA-1", ALL, withdrawn="2026-01-01T00:00:00Z")) == ()


def test_the_worst_comes_first():
    low, high = (advisory(f"GHSA-{word}", ALL, database_specific={"severity": word}) for word in ("LOW", "HIGH"))
    assert [each.severity for each in found(low, advisory("GHSA-x", ALL), high)] == [
        Severity.HIGH,
        Severity.LOW,
        Severity.UNKNOWN,
    ]


def test_fixes_of_go_are_spelled_as_in_go_mod():
    (finding,) = found(
        advisory("GO-1", FIXED, ecosystem="Go", name="a.example/b"),
        version="v1.0.0",
        ecosystem="Go",
        name="a.example/b",
    )
    assert finding.fixed_versions == ("v1.2.0",)


def test_what_cannot_be_compared_is_told():
    judged = judge(
        [
            (package("1.0.0"), [advisory("GHSA-1", [{"introduced": "never"}])]),
            (package("latest"), [advisory("GHSA-2", ALL)]),
        ]
    )
    assert (judged.findings, judged.unreadable, judged.incomparable) == ((), ("GHSA-1",), ("left-pad latest",))


def test_one_package_in_thousands_of_versions_takes_no_more_than_the_limit(monkeypatch):
    monkeypatch.setattr(matching, "MAX_PAIRS", 1000)
    told, looked_up = [advisory(f"GHSA-{n}", ALL) for n in range(20)], []

    def packages():
        for number in range(20_000):
            looked_up.append(number)
            yield package(f"1.0.{number}"), told

    judged = judge(packages())
    assert (len(judged.findings), len(looked_up)) == (20, 51)
    assert "not all packages were compared" in judged.fault
    assert judge([(package("1.0.0"), told)]).fault is None
